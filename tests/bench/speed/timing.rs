//! Whether the time of an answer tells what was wrong with an envelope (I7, docs/threats.md t14): real
//! messages to the running service, one of each class a round in random order, each made afresh. Beside
//! the product the same binary runs without implicit rejection: the measurement must notice that.

use std::time::{Duration, Instant};

use openssl::pkey::PKey;
use openssl::rand::rand_bytes;
use softhsm_test::client::http::Connection;
use softhsm_test::client::{Csr, Delivery, Device, Draft, Sent, Server};
use softhsm_test::instance::Instance;

use crate::devices::in_parallel;
use crate::report::{Part, Target};
use crate::statistics::{detectable, friedman, median, wilcoxon};
use crate::{Effort, cpu, raw, statistics};

/// What is wrong with the messages of a class, and how one is made.
const CLASSES: [(&str, Spoil); 9] = [
    ("another content key", |s, d| s.block(d, 16, |_, _| {})),
    ("a first octet that is not 0", |s, d| s.block(d, 16, |b, _| b[0] = 1)),
    ("block type 1", |s, d| s.block(d, 16, |b, _| b[1] = 1)),
    ("a zero in the first eight of the padding", |s, d| s.block(d, 16, |b, _| b[5] = 0)),
    ("no separator", |s, d| s.block(d, 16, |b, separator| b[separator] = 1)),
    ("a content key that is too short", |s, d| s.block(d, 8, |_, _| {})),
    ("a content key that is too long", |s, d| s.block(d, 24, |_, _| {})),
    ("a PKCS#10 with a bad signature", |_, d| *d.plaintext.last_mut().unwrap() ^= 1),
    ("no PKCS#10", |_, d| rand_bytes(&mut d.plaintext[1..]).unwrap()),
];
type Spoil = fn(&Subject, &mut Draft);
/// Microseconds until the answer, of one message of each class.
type Round = [f64; CLASSES.len()];

/// Messages are made so many rounds ahead, so that making them does not disturb the measurement.
const BATCH: usize = 100;
/// The chance of an alarm about a service that has no difference; the control must be below it.
const ALARM: f64 = 1e-6;
/// What the product's probability should be above.
const INCONSPICUOUS: f64 = 0.01;

/// The part `timing`.
pub fn measure(effort: Effort) {
    if !cfg!(feature = "controls") {
        eprintln!("the part timing needs a build with the feature `controls`: use `make timing`");
        std::process::exit(2);
    }
    statistics::check();
    let (rounds, control_rounds) = if effort.smoke { (400, 400) } else { (20_000, 2_000) };
    let mut product = Subject::start(None);
    let mut control = Subject::start(Some("no-implicit-rejection"));
    let (mut of_product, mut of_control) = (Vec::new(), Vec::new());
    // In turns, so that both see the same machine.
    while of_product.len() < rounds || of_control.len() < control_rounds {
        if of_product.len() < rounds {
            of_product.extend(product.batch());
        }
        if of_control.len() * rounds < of_product.len() * control_rounds {
            of_control.extend(control.batch());
        }
    }
    let mut part = Part::new("timing");
    let found = report(&mut part, "product", &of_product);
    let above = Some(Target::AtLeast(INCONSPICUOUS));
    part.figure("product: p of a difference", "", &[found], Some(1.0), above);
    let noticed = report(&mut part, "control", &of_control);
    let below = Some(Target::AtMost(1.0));
    part.figure("control: p of a difference", "", &[noticed], Some(ALARM), below);
    part.remark(format!(
        "p is the probability of such different times by chance (Friedman's test over all classes): \
         product {found:.3e}, control {noticed:.3e}. The control is the same binary with the module's \
         own padding errors passed on."
    ));
    part.write().unwrap();
    assert!(noticed < ALARM, "the control is not noticed: p = {noticed:e}");
    assert!(found > ALARM, "the time of an answer tells what was wrong: p = {found:e}");
}

/// The figures of one service; the probability that its classes are the same.
fn report(part: &mut Part, who: &str, rounds: &[Round]) -> f64 {
    let of = |class: usize| rounds.iter().map(|r| r[class]).collect::<Vec<f64>>();
    for (class, (name, _)) in CLASSES.iter().enumerate() {
        let differences: Vec<f64> = rounds.iter().map(|r| r[class] - r[0]).collect();
        part.figure(&format!("{who}: {name}"), "us", &[median(&of(class))], None, None);
        if class > 0 {
            part.remark(format!(
                "{who}: {name}: {:+.1} us to the first class in the middle, p = {:.2e} (Wilcoxon's \
                 signed-rank test)",
                median(&differences),
                wilcoxon(&differences)
            ));
        }
    }
    let found = friedman(rounds);
    for limit in [INCONSPICUOUS, ALARM].into_iter().filter(|limit| found > *limit) {
        let name = format!("{who}: smallest delay of a class that gives p < {limit}");
        part.figure(&name, "us", &[detectable(rounds, limit)], None, None);
    }
    found
}

/// A running service and who asks it.
struct Subject {
    _instance: Instance,
    server: Server,
    device: Device,
    csr: Vec<u8>,
    link: Connection,
    /// The length of every answer.
    answer_len: usize,
}

impl Subject {
    /// Starts a laboratory on one processor, without a safeguard where one is named.
    fn start(without: Option<&str>) -> Self {
        let mut instance = raw::lab("p-256");
        let limits = "[signer]\nunopened_envelopes = { per_source = 1000000, total = 1000000 }\n";
        instance.configure(|c| c.replace("[signer]\n", limits)).unwrap();
        if let Some(name) = without {
            let with = format!("environment = {{ CHANCERY_CONTROL = \"{name}\", ");
            instance.configure(|c| c.replace("environment = { ", &with)).unwrap();
        }
        cpu::on(Some(0), || instance.start()).expect("a running instance");
        let server = instance.server().unwrap();
        let device = Device::new("timed").unwrap();
        let csr = Csr::new("timed").challenge(&instance.challenge).build(&device.key).unwrap();
        let link = open(&server);
        let mut subject = Self { _instance: instance, server, device, csr, link, answer_len: 0 };
        // Whatever is done once only is done now.
        subject.batch();
        subject
    }

    /// The times of some rounds.
    fn batch(&mut self) -> Vec<Round> {
        let ready = in_parallel(BATCH * CLASSES.len(), |n| self.message(n % CLASSES.len()));
        // The last one has been idle meanwhile.
        self.link = open(&self.server);
        cpu::on(Some(1), || ready.chunks(CLASSES.len()).map(|round| self.round(round)).collect())
    }

    fn round(&mut self, messages: &[(Sent, Vec<u8>)]) -> Round {
        let mut order: [usize; CLASSES.len()] = std::array::from_fn(|n| n);
        for last in (1..order.len()).rev() {
            order.swap(last, random(last + 1));
        }
        let mut times = Round::default();
        for class in order {
            let (sent, bytes) = &messages[class];
            let began = Instant::now();
            let answer = self.link.send_raw(bytes, false).expect("an answer");
            times[class] = began.elapsed().as_secs_f64() * 1e6;
            if answer.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
                self.link = open(&self.server);
            }
            // Of another length it would tell without a clock.
            if self.answer_len != answer.body.len() {
                let reply = self.server.read(&answer, sent, &self.device).expect("a CertRep");
                assert_eq!(reply.failure().unwrap(), (2, None), "{}: badRequest", CLASSES[class].0);
                assert_eq!(self.answer_len, 0, "{}: a longer answer", CLASSES[class].0);
                self.answer_len = answer.body.len();
            }
        }
        times
    }

    fn message(&self, class: usize) -> (Sent, Vec<u8>) {
        let mut draft = self.server.draft(&self.device, "19", self.csr.clone()).unwrap();
        CLASSES[class].1(self, &mut draft);
        let sent = draft.build(&self.device).unwrap();
        let delivery = Delivery::Post(Some("application/x-pki-message"));
        let bytes = self.server.operation(&sent.body, &delivery).bytes(&self.server.url.authority);
        (sent, bytes)
    }

    /// A content key of this length in a v1.5 block, spoilt (given the place of the separator); the
    /// content is under another key.
    fn block(&self, draft: &mut Draft, key_len: usize, spoil: fn(&mut [u8], usize)) {
        let public = PKey::public_key_from_der(&self.server.encryption().unwrap().spki).unwrap();
        let mut block = vec![0; public.size()];
        rand_bytes(&mut block).unwrap();
        block.iter_mut().filter(|b| **b == 0).for_each(|b| *b = 1);
        let separator = block.len() - key_len - 1;
        (block[0], block[1], block[separator]) = (0, 2, 0);
        spoil(&mut block, separator);
        draft.envelope.as_mut().unwrap().raw_block = Some(block);
    }
}

fn open(server: &Server) -> Connection {
    Connection::open(&server.url, Duration::from_secs(60)).expect("a connection")
}

/// A number below `limit`, which is small.
fn random(limit: usize) -> usize {
    let mut bytes = [0; 8];
    rand_bytes(&mut bytes).unwrap();
    usize::from_le_bytes(bytes) % limit
}
