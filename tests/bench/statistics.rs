//! Do classes of measurements differ? Each round has one measurement of each class in random order, so
//! that whatever disturbs the machine disturbs all of them alike: under the hypothesis that the classes
//! are the same, their order within a round is chance, however the noise is distributed and whatever it
//! depends on. The tests are Friedman's over all classes and Wilcoxon's signed-rank test for two.

/// Friedman's test over rounds of `K` classes: the probability of such different ranks by chance.
/// Equal values share their ranks.
pub fn friedman<const K: usize>(rounds: &[[f64; K]]) -> f64 {
    let mut sums = [0.0; K];
    let mut ties = 0.0;
    for round in rounds {
        for (sum, value) in sums.iter_mut().zip(round) {
            let below = round.iter().filter(|v| *v < value).count() as f64;
            let equal = round.iter().filter(|v| *v == value).count() as f64;
            *sum += below + (equal + 1.0) / 2.0;
            // Over a group of t equal values this adds up to t³ - t.
            ties += equal * equal - 1.0;
        }
    }
    let (n, k) = (rounds.len() as f64, K as f64);
    let spread: f64 = sums.iter().map(|s| (s - n * (k + 1.0) / 2.0).powi(2)).sum();
    let scale = n * k * (k + 1.0) - ties / (k - 1.0);
    if scale <= 0.0 { 1.0 } else { chi_squared(12.0 * spread / scale, K - 1) }
}

/// Wilcoxon's signed-rank test of differences: the two-sided probability by chance (normal
/// approximation, for at least some dozens of differences).
pub fn wilcoxon(differences: &[f64]) -> f64 {
    let mut all: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    all.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = all.len() as f64;
    let (mut positive, mut variance, mut at) = (0.0, n * (n + 1.0) * (2.0 * n + 1.0) / 24.0, 0);
    while at < all.len() {
        let group = all[at..].iter().take_while(|d| d.abs() == all[at].abs()).count();
        let rank = at as f64 + (group as f64 + 1.0) / 2.0;
        positive += rank * all[at..at + group].iter().filter(|d| **d > 0.0).count() as f64;
        variance -= (group.pow(3) - group) as f64 / 48.0;
        at += group;
    }
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (positive - n * (n + 1.0) / 4.0) / variance.sqrt();
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The probability that a chi-squared variable of this freedom is `x` or more.
fn chi_squared(x: f64, freedom: usize) -> f64 {
    let half = x / 2.0;
    let (mut tail, mut term, mut at) = match freedom % 2 {
        0 => ((-half).exp(), (-half).exp() * half, 2.0),
        _ => (
            libm::erfc(half.sqrt()),
            (-half).exp() * (half / std::f64::consts::FRAC_PI_4).sqrt(),
            1.0,
        ),
    };
    while at < freedom as f64 {
        tail += term;
        at += 2.0;
        term *= half / (at / 2.0);
    }
    tail
}

/// The smallest delay of one class that Friedman's test would have found in these very measurements
/// with a probability below `limit`, whichever class had it: in the unit of the measurements, to a tenth.
pub fn detectable<const K: usize>(rounds: &[[f64; K]], limit: f64) -> f64 {
    let found = |class: usize, delay: f64| {
        let mut changed = rounds.to_vec();
        changed.iter_mut().for_each(|round| round[class] += delay);
        friedman(&changed) < limit
    };
    let smallest = |class: usize, sign: f64| {
        let mut delay = 0.01;
        while !found(class, sign * delay) && delay < 1e9 {
            delay *= 1.1;
        }
        delay
    };
    let all = (0..K).flat_map(|class| [smallest(class, 1.0), smallest(class, -1.0)]);
    all.fold(0.0, f64::max)
}

/// The middle of some values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The tests against figures that R gives (friedman.test, wilcox.test, pchisq): a measurement that is
/// judged by a wrong formula is worth nothing.
pub fn check() {
    let near = |found: f64, expected: f64| {
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} where {expected} is right");
    };
    near(chi_squared(9.348404, 3), 0.025);
    near(chi_squared(13.276704, 4), 0.01);
    near(chi_squared(40.0, 5), 1.493_368e-7);
    // Hollander and Wolfe (1973), page 140: rounding first base; friedman.test's own example.
    let bases: [[f64; 3]; 22] = [
        [5.40, 5.50, 5.55],
        [5.85, 5.70, 5.75],
        [5.20, 5.60, 5.50],
        [5.55, 5.50, 5.40],
        [5.90, 5.85, 5.70],
        [5.45, 5.55, 5.60],
        [5.40, 5.40, 5.35],
        [5.45, 5.50, 5.35],
        [5.25, 5.15, 5.00],
        [5.85, 5.80, 5.70],
        [5.25, 5.20, 5.10],
        [5.65, 5.55, 5.45],
        [5.60, 5.35, 5.45],
        [5.05, 5.00, 4.95],
        [5.50, 5.50, 5.40],
        [5.45, 5.55, 5.50],
        [5.55, 5.55, 5.35],
        [5.45, 5.50, 5.55],
        [5.50, 5.45, 5.25],
        [5.65, 5.60, 5.40],
        [5.70, 5.65, 5.55],
        [6.30, 6.30, 6.25],
    ];
    near(friedman(&bases), 0.003_805);
    // The same, pages 29 f.: a scale of depression, before and after.
    let depression = [0.952, -0.147, 1.022, 0.430, 0.620, 0.590, 0.490, -0.080, 0.010];
    near(wilcoxon(&depression), 0.038_152);
}
