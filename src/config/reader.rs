//! Reads a TOML document by the schema, collects every error with its place, and remembers where
//! each key stands for the checks that come after.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, position, quoted};
use super::schema::{Key, Setting};
use super::{refuse, suggest};

/// The state of one reading.
pub(super) struct Reader<'a> {
    file: &'a Path,
    folder: PathBuf,
    source: &'a str,
    places: BTreeMap<String, Range<usize>>,
    errors: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    /// For the file `file` with the text `source`.
    pub(super) fn new(file: &'a Path, source: &'a str) -> Self {
        // In full, so that the effective configuration does not hang on how the file was named.
        let parent = file.parent().unwrap_or(Path::new("")).join(".");
        let folder = std::fs::canonicalize(&parent)
            .or_else(|_| std::path::absolute(&parent))
            .unwrap_or(parent);
        Self { file, folder, source, places: BTreeMap::new(), errors: Vec::new() }
    }

    /// The folder that relative paths start from.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds an error at `key`, or where the nearest key above it stands.
    pub(super) fn fail(
        &mut self,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let span = self.place(key);
        self.fail_at(span, key, problem, remedy);
    }

    /// Adds an error at a place of the source.
    pub(super) fn fail_at(
        &mut self,
        span: Range<usize>,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (line, column) = position(self.source, span.start);
        self.errors.push(ConfigError {
            file: self.file.to_owned(),
            line,
            column,
            key: key.to_owned(),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// Whether anything was wrong so far.
    pub(super) fn failed(&self) -> bool {
        !self.errors.is_empty()
    }

    /// How many errors there are so far.
    pub(super) fn mark(&self) -> usize {
        self.errors.len()
    }

    /// Forgets the errors after the first `before` ones that are about keys which the file does not have.
    pub(super) fn keep_written(&mut self, before: usize) {
        let later = self.errors.split_off(before);
        let written = later.into_iter().filter(|e| self.places.contains_key(&e.key));
        let written: Vec<ConfigError> = written.collect();
        self.errors.extend(written);
    }

    /// What was wrong, by line.
    pub(super) fn into_errors(mut self) -> Vec<ConfigError> {
        self.errors.sort_by_key(|e| (e.line, e.column));
        self.errors
    }

    fn place(&self, key: &str) -> Range<usize> {
        let mut at = key;
        loop {
            if let Some(span) = self.places.get(at) {
                return span.clone();
            }
            match at.rfind(['.', '[']) {
                Some(cut) => at = &at[..cut],
                None => return 0..0,
            }
        }
    }

    /// The table that `value` is; keys that are none of `keys` are errors.
    pub(super) fn table<'t, 'i>(
        &mut self,
        value: &'t Spanned<DeValue<'i>>,
        key: &str,
        keys: &[Key],
    ) -> Option<&'t DeTable<'i>> {
        let table = self.any_table(value, key)?;
        for (name, _) in table {
            if keys.iter().all(|known| known.name != name.get_ref().as_ref()) {
                self.unknown_key(key, name, keys);
            }
        }
        Some(table)
    }

    /// The table that `value` is, with any keys.
    pub(super) fn any_table<'t, 'i>(
        &mut self,
        value: &'t Spanned<DeValue<'i>>,
        key: &str,
    ) -> Option<&'t DeTable<'i>> {
        self.places.entry(key.to_owned()).or_insert_with(|| value.span());
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(value, key, "a table");
        }
        table
    }

    /// One field of `table`, or its default (TOML text).
    pub(super) fn field<T: Setting>(
        &mut self,
        table: &DeTable<'_>,
        section: &str,
        name: &str,
        default: Option<&str>,
    ) -> Option<T> {
        let key = join(section, name);
        if let Some(value) = table.get(name) {
            self.remember(&key, value);
            return T::read(value, &key, self);
        }
        if let Some(default) = default {
            return self.literal(default, &key);
        }
        let absent = T::absent();
        if absent.is_none() {
            self.fail(&key, "this key is compulsory", format!("add {name} = …: {}", T::KIND));
        }
        absent
    }

    /// Refuses a value outside of its range (TOML text).
    pub(super) fn within<T: Setting + PartialOrd>(
        &mut self,
        value: &T,
        section: &str,
        name: &str,
        min: &str,
        max: &str,
    ) {
        let key = join(section, name);
        let least: Option<T> = self.literal(min, &key);
        let greatest: Option<T> = self.literal(max, &key);
        if least.is_some_and(|m| *value < m) || greatest.is_some_and(|m| *value > m) {
            self.fail(&key, "the value is out of range", format!("choose from {min} to {max}"));
        }
    }

    /// A value from the schema itself, read as if it stood in the file.
    fn literal<T: Setting>(&mut self, text: &str, key: &str) -> Option<T> {
        let mut inner = Reader::new(self.file, "");
        let value = DeValue::parse(text).ok().and_then(|v| T::read(&v, key, &mut inner));
        if value.is_none() {
            self.fail(
                key,
                format!("the schema's own text {} cannot be read", quoted(text)),
                "report this: it is a defect of Chancery",
            );
        }
        value
    }

    /// The text that `value` is; the empty one is refused.
    pub(super) fn text<'t>(
        &mut self,
        value: &'t Spanned<DeValue<'_>>,
        key: &str,
        kind: &str,
    ) -> Option<&'t str> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, key, kind);
            return None;
        };
        if text.is_empty() {
            self.fail_at(value.span(), key, "the text is empty", format!("expected {kind}"));
            return None;
        }
        Some(text)
    }

    /// Adds the error of a value of a wrong type. The value itself is not shown: it may be a secret
    /// that slipped into the wrong line.
    pub(super) fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, key: &str, kind: &str) {
        let found = value.get_ref().type_str();
        self.fail_at(
            value.span(),
            key,
            format!("this is of the type {found}"),
            format!("expected {kind}"),
        );
    }

    /// Adds the error of a word that is none of `valid`.
    pub(super) fn unknown_word(&mut self, key: &str, word: &str, valid: &[&str]) {
        let remedy = suggest::remedy(word, valid);
        self.fail(key, format!("{} is not known", quoted(word)), remedy);
    }

    fn unknown_key(
        &mut self,
        section: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        keys: &[Key],
    ) {
        let text = name.get_ref().as_ref();
        let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        let key = join(section, &shown);
        let (problem, remedy) = refuse::known_refusal(section, text).unwrap_or_else(|| {
            let valid: Vec<&str> = keys.iter().map(|k| k.name).collect();
            ("unknown key".to_owned(), suggest::remedy(text, &valid))
        });
        self.fail_at(name.span(), &key, problem, remedy);
    }

    /// Remembers where an element of a list stands, and returns its key.
    pub(super) fn element(
        &mut self,
        key: &str,
        index: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> String {
        let key = format!("{key}[{index}]");
        self.remember(&key, value);
        key
    }

    /// Remembers where the value of `key` stands.
    pub(super) fn remember(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        self.places.insert(key.to_owned(), value.span());
    }
}

/// The full path of `name` in `section`.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}
