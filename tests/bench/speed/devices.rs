//! Many devices with distinct RSA keys, made quickly: each key is another pair out of a few primes. Good
//! enough for a measurement, and for nothing else.

use std::sync::LazyLock;

use openssl::bn::{BigNum, BigNumContext};
use openssl::pkey::PKey;
use openssl::rsa::RsaPrivateKeyBuilder;
use softhsm_test::client::{Csr, Device, Sent, Server, keys::Key};

/// A request that is ready to be sent, and what its reply is checked with.
pub struct Ready {
    /// Who asks.
    pub device: Device,
    /// What is sent.
    pub sent: Sent,
    /// The whole HTTP request.
    pub bytes: Vec<u8>,
}

/// So many primes give `PRIMES * (PRIMES - 1) / 2` keys.
const PRIMES: usize = 220;

/// The primes of this run.
pub struct Pool(Vec<BigNum>);

impl Pool {
    /// The primes, made when they are first needed.
    pub fn shared() -> &'static Self {
        static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);
        &POOL
    }

    /// Makes them on all processors.
    fn new() -> Self {
        let made = in_parallel(PRIMES, |_| {
            let mut prime = BigNum::new().unwrap();
            loop {
                prime.generate_prime(1024, false, None, None).unwrap();
                // p - 1 must have no factor in common with e = 65537.
                let mut less = prime.to_owned().unwrap();
                less.sub_word(1).unwrap();
                if less.mod_word(65537).unwrap() != 0 {
                    return prime;
                }
            }
        });
        Self(made)
    }

    fn key(&self, number: usize) -> Key {
        let (mut first, mut rest) = (0, number % (PRIMES * (PRIMES - 1) / 2));
        while rest >= PRIMES - 1 - first {
            rest -= PRIMES - 1 - first;
            first += 1;
        }
        let (mut p, mut q) = (&self.0[first], &self.0[first + 1 + rest]);
        if p < q {
            (p, q) = (q, p);
        }
        let mut context = BigNumContext::new().unwrap();
        let number = || BigNum::new().unwrap();
        let one = BigNum::from_u32(1).unwrap();
        let e = BigNum::from_u32(65537).unwrap();
        let (mut n, mut p1, mut q1, mut phi) = (number(), number(), number(), number());
        n.checked_mul(p, q, &mut context).unwrap();
        p1.checked_sub(p, &one).unwrap();
        q1.checked_sub(q, &one).unwrap();
        phi.checked_mul(&p1, &q1, &mut context).unwrap();
        let (mut d, mut dp, mut dq, mut qi) = (number(), number(), number(), number());
        d.mod_inverse(&e, &phi, &mut context).unwrap();
        dp.nnmod(&d, &p1, &mut context).unwrap();
        dq.nnmod(&d, &q1, &mut context).unwrap();
        qi.mod_inverse(q, p, &mut context).unwrap();
        let copy = |n: &openssl::bn::BigNumRef| n.to_owned().unwrap();
        let (p, q) = (copy(p), copy(q));
        let builder = RsaPrivateKeyBuilder::new(n, e, d).unwrap();
        let builder = builder.set_factors(p, q).unwrap().set_crt_params(dp, dq, qi).unwrap();
        PKey::from_rsa(builder.build()).unwrap()
    }

    /// Builds `count` requests for `server`, of devices from number `from` on, on all processors.
    pub fn requests(
        &self,
        server: &Server,
        challenge: &str,
        from: usize,
        count: usize,
    ) -> Vec<Ready> {
        in_parallel(count, |n| {
            let name = format!("device-{}", from + n);
            let device = Device::with_key(self.key(from + n), &name).unwrap();
            let csr = Csr::new(&name).challenge(challenge).build(&device.key).unwrap();
            let sent = server.draft(&device, "19", csr).unwrap().build(&device).unwrap();
            let delivery = softhsm_test::client::Delivery::Post(Some("application/x-pki-message"));
            let bytes = server.operation(&sent.body, &delivery).bytes(&server.url.authority);
            Ready { device, sent, bytes }
        })
    }
}

/// Does `work` for each number below `count` on all processors; the results are in order.
pub fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let run = || {
            let mut done = Vec::new();
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if n >= count {
                    return done;
                }
                done.push((n, work(n)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, t)| t).collect()
}
