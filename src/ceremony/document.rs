//! A small document: sections of text, tables and pictures, written as HTML that prints well or as
//! Markdown. One source for both, so that they never say different things.

use std::fmt::Write as _;

/// A document.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// A mark over every page, such as REHEARSAL.
    pub mark: Option<String>,
    /// Its sections.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What is in it.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Preformatted lines.
    Code(String),
    /// A table: its headings and its rows.
    Table(Vec<String>, Vec<Vec<String>>),
    /// A picture as SVG, with what it says.
    Picture(String, String),
}

impl Document {
    /// Starts a section.
    pub fn section(&mut self, title: impl Into<String>) -> &mut Section {
        self.sections.push(Section { title: title.into(), blocks: Vec::new() });
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// As one HTML page without anything from elsewhere.
    pub fn html(&self) -> String {
        let mut out =
            String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        let _ = write!(
            out,
            "<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
            escape(&self.title)
        );
        if let Some(mark) = &self.mark {
            let _ = writeln!(out, "<p class=\"mark\">{}</p>", escape(mark));
        }
        let _ = writeln!(out, "<h1>{}</h1>", escape(&self.title));
        for section in &self.sections {
            let _ = writeln!(out, "<section>\n<h2>{}</h2>", escape(&section.title));
            for block in &section.blocks {
                html_block(block, &mut out);
            }
            out.push_str("</section>\n");
        }
        out.push_str("</body>\n</html>\n");
        out
    }

    /// As Markdown; pictures are left out, what they say stands in text elsewhere.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n", inline(&self.title));
        if let Some(mark) = &self.mark {
            let _ = write!(out, "\n**{}**\n", inline(mark));
        }
        for section in &self.sections {
            let _ = write!(out, "\n## {}\n", inline(&section.title));
            for block in &section.blocks {
                match block {
                    Block::Text(text) => {
                        let _ = write!(out, "\n{}\n", inline(text));
                    }
                    Block::Code(text) => {
                        let body: Vec<String> = text.lines().map(|l| format!("    {l}")).collect();
                        let _ = write!(out, "\n{}\n", body.join("\n"));
                    }
                    Block::Table(head, rows) => markdown_table(head, rows, &mut out),
                    Block::Picture(..) => {}
                }
            }
        }
        out
    }
}

impl Section {
    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.blocks.push(Block::Text(text.into()));
        self
    }

    /// Adds preformatted lines.
    pub fn code(&mut self, text: impl Into<String>) -> &mut Self {
        self.blocks.push(Block::Code(text.into()));
        self
    }

    /// Adds a table, if it has rows.
    pub fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) -> &mut Self {
        if !rows.is_empty() {
            self.blocks.push(Block::Table(head.iter().map(|h| (*h).to_owned()).collect(), rows));
        }
        self
    }

    /// Adds a QR code of `text`, if it is short enough for one.
    pub fn qr(&mut self, text: &str) -> &mut Self {
        if let Some(svg) = qr_svg(text) {
            self.blocks.push(Block::Picture(svg, format!("QR code: {text}")));
        }
        self
    }
}

/// A QR code as SVG.
pub fn qr_svg(text: &str) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::M).ok()?;
    let picture = code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(160, 160).build();
    // Without the XML declaration, which has no place inside of HTML.
    picture.find("<svg").map(|start| picture[start..].to_owned())
}

/// A QR code for a terminal.
pub fn qr_text(text: &str) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::M).ok()?;
    Some(code.render::<qrcode::render::unicode::Dense1x2>().build())
}

fn html_block(block: &Block, out: &mut String) {
    match block {
        Block::Text(text) => {
            let _ = writeln!(out, "<p>{}</p>", escape(text));
        }
        Block::Code(text) => {
            let _ = writeln!(out, "<pre>{}</pre>", escape(text));
        }
        Block::Table(head, rows) => {
            out.push_str("<table>\n");
            if head.iter().any(|h| !h.is_empty()) {
                out.push_str("<thead><tr>");
                head.iter().for_each(|h| {
                    let _ = write!(out, "<th>{}</th>", escape(h));
                });
                out.push_str("</tr></thead>\n");
            }
            out.push_str("<tbody>\n");
            for row in rows {
                out.push_str("<tr>");
                row.iter().for_each(|c| {
                    let class = if c.trim().is_empty() { " class=\"blank\"" } else { "" };
                    let _ = write!(out, "<td{class}>{}</td>", cell(c));
                });
                out.push_str("</tr>\n");
            }
            out.push_str("</tbody>\n</table>\n");
        }
        Block::Picture(svg, text) => {
            let _ = writeln!(
                out,
                "<figure role=\"img\" aria-label=\"{}\">{svg}</figure>",
                escape(text)
            );
        }
    }
}

/// A table's cell: digests and other long runs may be broken, at every eighth character; words are not.
fn cell(text: &str) -> String {
    let piece = |part: &str| {
        if part.len() < 24 {
            return escape(part);
        }
        let all: Vec<char> = part.chars().collect();
        let parts: Vec<String> =
            all.chunks(8).map(|c| escape(&c.iter().collect::<String>())).collect();
        parts.join("<wbr>")
    };
    let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    parts.map(piece).collect::<String>().replace('\n', "<br>")
}

fn markdown_table(head: &[String], rows: &[Vec<String>], out: &mut String) {
    let line = |cells: &[String]| {
        let cells: Vec<String> =
            cells.iter().map(|c| inline(c).replace('|', "\\|").replace('\n', "<br>")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    out.push('\n');
    out.push_str(&line(head));
    out.push_str(&format!("|{}\n", " --- |".repeat(head.len())));
    rows.iter().for_each(|r| out.push_str(&line(r)));
}

/// Text in HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Text in Markdown: what would be taken for markup is escaped.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "\
@page { size: A4; margin: 18mm 16mm; }
body { font: 11pt/1.45 'Liberation Serif', Georgia, serif; color: #111; max-width: 50em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 20pt; margin: 0 0 .6em; }
h2 { font-size: 13pt; border-bottom: 1px solid #888; padding-bottom: .15em; margin: 1.6em 0 .6em; break-after: avoid; }
section { break-inside: auto; }
table { border-collapse: collapse; width: 100%; margin: .6em 0; font-size: 9.5pt; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { border: 1px solid #999; padding: .3em .5em; text-align: left; vertical-align: top; }
td { overflow-wrap: break-word; }
th { background: #eee; white-space: nowrap; }
.blank { height: 1.9em; min-width: 5em; }
pre { font: 9.5pt/1.4 'Liberation Mono', 'DejaVu Sans Mono', monospace; background: #f5f5f5; padding: .6em .8em; white-space: pre-wrap; overflow-wrap: anywhere; break-inside: avoid; }
figure { margin: .6em 0; }
.mark { border: 3px solid #b00; color: #b00; font: bold 16pt sans-serif; text-align: center; padding: .3em; letter-spacing: .1em; }
@media print { body { margin: 0; max-width: none; } th { background: none; } }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_people_type_becomes_markup() {
        let mut document = Document { title: "<b>".into(), ..Document::default() };
        document
            .section("a&b")
            .text("<script>alert(1)</script>")
            .table(&["x|y"], vec![vec!["\"><img src=x>\u{1b}[2J|`*".into()]]);
        let html = document.html();
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains('\u{1b}'));
        let markdown = document.markdown();
        assert!(
            !markdown.contains("<script>")
                && markdown.contains("\\|")
                && !markdown.contains('\u{1b}')
        );
    }

    #[test]
    fn a_digest_fits_into_a_qr_code() {
        let text = "chancery-plan:".to_owned() + &"ab".repeat(32);
        assert!(qr_svg(&text).unwrap().starts_with("<svg"));
        assert!(qr_text(&text).unwrap().lines().count() > 10);
    }
}
