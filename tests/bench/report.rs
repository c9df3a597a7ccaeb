//! The report of measurements: each figure with its limit of the same run. Parts are measured alone and
//! joined: what a part left is kept until it is measured again. For people `target/bench/report.md`, for
//! machines `target/bench/report.json`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What a figure must reach, as a ratio to its limit.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At least so much of the limit.
    AtLeast(f64),
    /// At most so much of the limit.
    AtMost(f64),
}

/// One part's figures and remarks.
pub struct Part {
    name: &'static str,
    figures: Vec<Value>,
    remarks: Vec<String>,
}

impl Part {
    /// An empty part.
    pub fn new(name: &'static str) -> Self {
        println!("== {name}");
        Self { name, figures: Vec::new(), remarks: Vec::new() }
    }

    /// Adds a figure: the median of `values`, with the limit of the same run where there is one. Whether it
    /// has missed its target.
    pub fn figure(
        &mut self,
        name: &str,
        unit: &str,
        values: &[f64],
        limit: Option<f64>,
        target: Option<Target>,
    ) -> bool {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let value = sorted[sorted.len() / 2];
        let ratio = limit.filter(|l| *l > 0.0).map(|l| value / l);
        let (wanted, met) = match target {
            Some(Target::AtLeast(t)) => (Some(t), ratio.map(|r| r >= t)),
            Some(Target::AtMost(t)) => (Some(t), ratio.map(|r| r <= t)),
            None => (None, None),
        };
        let figure = json!({
            "name": name, "unit": unit, "value": round(value), "min": round(sorted[0]),
            "max": round(sorted[sorted.len() - 1]), "limit": limit.map(round), "ratio": ratio.map(round),
            "target": wanted, "met": met,
        });
        println!("{}", line(&figure));
        self.figures.push(figure);
        met == Some(false)
    }

    /// Adds a sentence for people.
    pub fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("   {text}");
        self.remarks.push(text);
    }

    /// Keeps the part and writes the report of all parts that were measured.
    pub fn write(self) -> std::io::Result<()> {
        let folder = folder();
        let parts = folder.join("parts");
        fs::create_dir_all(&parts)?;
        let part = json!({ "part": self.name, "machine": machine(), "figures": self.figures, "remarks": self.remarks });
        fs::write(parts.join(format!("{}.json", self.name)), serde_json::to_vec_pretty(&part)?)?;
        let mut all = Vec::new();
        for entry in fs::read_dir(&parts)? {
            all.push(serde_json::from_slice::<Value>(&fs::read(entry?.path())?)?);
        }
        all.sort_by_key(|p| p["part"].as_str().unwrap_or_default().to_owned());
        let figures: Vec<&Value> =
            all.iter().flat_map(|p| p["figures"].as_array().into_iter().flatten()).collect();
        fs::write(folder.join("report.json"), serde_json::to_vec_pretty(&figures)?)?;
        fs::write(folder.join("report.md"), markdown(&all))
    }
}

/// `target/bench` of the workspace.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

/// Three significant digits more than anybody needs.
fn round(value: f64) -> f64 {
    let scale = 10f64.powi(5 - value.abs().max(1e-9).log10().floor() as i32);
    (value * scale).round() / scale
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(v) if v >= 100.0 => format!("{v:.0}"),
        Some(v) if v >= 1.0 => format!("{v:.2}"),
        Some(v) => format!("{v:.3}"),
    }
}

fn line(figure: &Value) -> String {
    let met = match figure["met"].as_bool() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    format!(
        "   {:58} {:>9} {:10} limit {:>9} ratio {:>6} target {:>5} {met}",
        figure["name"].as_str().unwrap_or_default(),
        number(&figure["value"]),
        figure["unit"].as_str().unwrap_or_default(),
        number(&figure["limit"]),
        number(&figure["ratio"]),
        number(&figure["target"]),
    )
}

fn markdown(parts: &[Value]) -> String {
    let mut out = String::from(
        "# Speed\n\nEach figure is a median with its limit of the same run; the ratio is between them.\n",
    );
    for part in parts {
        let _ = write!(
            out,
            "\n## {}\n\n{}\n\n| figure | unit | median | min | max | limit | ratio | target | met |\n|{}\n",
            part["part"].as_str().unwrap_or_default(),
            part["machine"].as_str().unwrap_or_default(),
            " --- |".repeat(9)
        );
        for f in part["figures"].as_array().into_iter().flatten() {
            let met = match f["met"].as_bool() {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            let cells: Vec<String> = ["value", "min", "max", "limit", "ratio", "target"]
                .iter()
                .map(|k| number(&f[*k]))
                .collect();
            let text = |k: &str| f[k].as_str().unwrap_or_default().to_owned();
            let _ = writeln!(
                out,
                "| {} | {} | {} | {met} |",
                text("name"),
                text("unit"),
                cells.join(" | ")
            );
        }
        for remark in part["remarks"].as_array().into_iter().flatten() {
            let _ = write!(out, "\n{}\n", remark.as_str().unwrap_or_default());
        }
    }
    out
}

/// The processor and how busy the machine was: what a reader must know of a figure.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m.to_owned()));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {}; load average {load} at the end.", model.unwrap_or_default())
}
