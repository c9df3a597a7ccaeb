//! What is wrong with a plan, said with its place and what to do.

use std::fmt;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanProblem {
    /// The line, from 1; 0 where it is about the whole plan.
    pub line: usize,
    /// The section or step.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}: {}; {}", self.place, self.problem, self.remedy)
    }
}
