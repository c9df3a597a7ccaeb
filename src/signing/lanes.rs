//! The order in which waiting work is taken: by class first, and within a class one of each
//! endpoint in turn, so that one MDM's push does not starve the others.

use std::collections::VecDeque;
use std::sync::Arc;

/// How urgent a piece of work is; a lower class waits while a higher one has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// CRLs and other answers on which many parties wait.
    Status,
    /// Renewals of certificates that end soon: a device that waits too long is locked out.
    Renewal,
    /// All other certificates for devices.
    Enrolment,
}

const CLASSES: usize = 3;

/// Waiting work in its lanes: a class and an endpoint each.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    classes: [VecDeque<Lane<T>>; CLASSES],
    len: usize,
}

#[derive(Debug)]
struct Lane<T> {
    endpoint: Arc<str>,
    waiting: VecDeque<T>,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { classes: std::array::from_fn(|_| VecDeque::new()), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends `item` to its lane.
    pub(super) fn push(&mut self, class: Class, endpoint: &Arc<str>, item: T) {
        let lanes = &mut self.classes[class as usize];
        self.len += 1;
        match lanes.iter_mut().find(|l| l.endpoint == *endpoint) {
            Some(lane) => lane.waiting.push_back(item),
            None => lanes
                .push_back(Lane { endpoint: endpoint.clone(), waiting: VecDeque::from([item]) }),
        }
    }

    /// Takes the next item: the highest class that has one, its endpoints in turn.
    pub(super) fn pop(&mut self) -> Option<T> {
        let lanes = self.classes.iter_mut().find(|lanes| !lanes.is_empty())?;
        let mut lane = lanes.pop_front()?;
        let item = lane.waiting.pop_front();
        if !lane.waiting.is_empty() {
            lanes.push_back(lane);
        }
        self.len -= usize::from(item.is_some());
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(lanes: &mut Lanes<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| lanes.pop()).collect()
    }

    #[test]
    fn endpoints_take_turns() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut lanes = Lanes::new();
        for item in ["a1", "a2", "a3"] {
            lanes.push(Class::Enrolment, &a, item);
        }
        lanes.push(Class::Enrolment, &b, "b1");
        lanes.push(Class::Enrolment, &b, "b2");
        assert_eq!(lanes.len(), 5);
        assert_eq!(drain(&mut lanes), ["a1", "b1", "a2", "b2", "a3"]);
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn status_goes_first_and_bulk_last() {
        let a: Arc<str> = "a".into();
        let mut lanes = Lanes::new();
        lanes.push(Class::Enrolment, &a, "bulk");
        lanes.push(Class::Renewal, &a, "renewal");
        lanes.push(Class::Status, &a, "crl");
        assert_eq!(drain(&mut lanes), ["crl", "renewal", "bulk"]);
    }
}
