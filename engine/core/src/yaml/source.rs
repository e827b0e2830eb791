//! A text by lines, and the way back from a character of a scalar to its place in the file.

use std::collections::BTreeMap;

use crate::mistake::Place;

/// Characters between two marks in a long line that is not ASCII.
const STRIDE: usize = 512;

/// A file's text with the begin of each line.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    text: &'a str,
    starts: Vec<u32>,
    /// For long lines that are not ASCII, the byte of every 512th character: a file may be one line of 16 MiB.
    marks: BTreeMap<u32, Vec<u32>>,
}

impl<'a> Source<'a> {
    /// Finds the lines of a text.
    pub fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            // A carriage return alone ends a line, too (YAML 1.2, 5.4).
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                starts.push(at as u32 + 1);
            }
        }
        let mut source = Self { text, starts, marks: BTreeMap::new() };
        for number in 1..=source.starts.len() as u32 {
            let line = source.line(number);
            if line.len() > 2 * STRIDE && !line.is_ascii() {
                let marks = line.char_indices().step_by(STRIDE).map(|(at, _)| at as u32).collect();
                source.marks.insert(number, marks);
            }
        }
        source
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// A line without its break, counted from 1; empty if there is no such line.
    pub fn line(&self, number: u32) -> &'a str {
        let at = (number as usize).wrapping_sub(1);
        let Some(from) = self.starts.get(at) else { return "" };
        let to = self.starts.get(at + 1).map_or(self.text.len(), |next| *next as usize);
        self.text[*from as usize..to].trim_end_matches(['\n', '\r'])
    }

    /// The byte of a line at which a column begins, or its end.
    fn byte_of(&self, number: u32, column: u32) -> usize {
        let line = self.line(number);
        let count = column.saturating_sub(1) as usize;
        if line.len() <= 2 * STRIDE || self.marks.contains_key(&number) {
            let marks = self.marks.get(&number);
            let mark =
                marks.and_then(|marks| marks.get(count / STRIDE)).map_or(0, |at| *at as usize);
            let rest = if marks.is_some() { count % STRIDE } else { count };
            if marks.is_some_and(|marks| count / STRIDE >= marks.len()) {
                return line.len();
            }
            return line[mark..].char_indices().nth(rest).map_or(line.len(), |(at, _)| mark + at);
        }
        count.min(line.len())
    }

    /// What stands at a place, as far as it is marked.
    pub fn at(&self, place: Place) -> &'a str {
        let from = self.byte_of(place.line, place.column);
        let to = self.byte_of(place.line, place.column.saturating_add(place.length));
        &self.line(place.line)[from..to.max(from)]
    }

    /// Where characters `from..to` (bytes of `scalar`) of a scalar stand that begins at `place`. Follows block texts
    /// through their indentation, folded texts over their breaks and double-quoted ones through their escapes.
    /// What spans lines is marked on its first.
    pub fn inside(&self, place: Place, scalar: &str, from: usize, to: usize) -> Place {
        let from = floor(scalar, from);
        let to = floor(scalar, to.max(from));
        let length = scalar[from..to].split('\n').next().unwrap_or("").chars().count().max(1);
        let (line, column) = if self.is_block(place) {
            self.inside_block(place, scalar, from)
        } else {
            self.inside_flow(place, scalar, from)
        };
        let rest = &self.line(line)[self.byte_of(line, column)..];
        let room = rest.chars().take(length).count().max(1);
        Place { line, column, length: length.min(room) as u32 }
    }

    /// Whether the scalar at a place is the body of a `|` or `>`.
    fn is_block(&self, place: Place) -> bool {
        if place.line < 2 {
            return false;
        }
        let header = self.line(place.line - 1);
        let header = header.split(" #").next().unwrap_or(header).trim_end();
        let header = header.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
        let before = &self.line(place.line)[..self.byte_of(place.line, place.column)];
        before.bytes().all(|byte| byte == b' ')
            && (header.ends_with(['|', '>']))
            && header[..header.len() - 1].ends_with([' ', ':', '-', '\t'])
    }

    fn inside_block(&self, place: Place, scalar: &str, offset: usize) -> (u32, u32) {
        let is_folded =
            self.line(place.line - 1).split(" #").next().is_some_and(|header| {
                header.trim_end().trim_end_matches(['+', '-']).ends_with('>')
            });
        let indent = place.column - 1;
        if !is_folded {
            let before = &scalar[..offset];
            let line = place.line + before.matches('\n').count() as u32;
            let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u32;
            return (line, indent + column + 1);
        }
        let mut line = place.line;
        let mut rest = self.line(line).get(indent as usize..).unwrap_or("");
        let mut column = indent;
        for c in scalar[..offset].chars() {
            if rest.starts_with(c) {
                rest = &rest[c.len_utf8()..];
                column += 1;
            } else {
                line += 1;
                while c == ' '
                    && self.line(line).trim().is_empty()
                    && (line as usize) < self.starts.len()
                {
                    line += 1;
                }
                rest = self.line(line).get(indent as usize..).unwrap_or("");
                column = indent;
            }
        }
        while rest.is_empty() && offset < scalar.len() && (line as usize) < self.starts.len() {
            line += 1;
            rest = self.line(line).get(indent as usize..).unwrap_or("");
            column = indent;
        }
        (line, column + 1)
    }

    fn inside_flow(&self, place: Place, scalar: &str, offset: usize) -> (u32, u32) {
        let begin = self.starts.get((place.line as usize).wrapping_sub(1)).copied().unwrap_or(0);
        let begin = begin as usize;
        let begin = begin + self.byte_of(place.line, place.column);
        let mut cursor = Cursor {
            rest: &self.text[begin..],
            line: place.line,
            column: place.column,
            quote: None,
        };
        // A tag or anchor before the scalar; a plain scalar can't begin so.
        while cursor.rest.starts_with(['!', '&']) {
            while !cursor.rest.is_empty() && !cursor.rest.starts_with([' ', '\n']) {
                cursor.next();
            }
            cursor.skip_blanks();
        }
        if let Some(quote @ ('"' | '\'')) = cursor.rest.chars().next() {
            cursor.quote = Some(quote);
            cursor.next();
        }
        for c in scalar[..offset].chars() {
            cursor.pass(c);
        }
        cursor.skip_joined();
        if !scalar[offset..].starts_with([' ', '\n']) {
            cursor.skip_break();
        }
        (cursor.line, cursor.column)
    }
}

struct Cursor<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
    quote: Option<char>,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    /// Steps over what stands for one character of the scalar.
    fn pass(&mut self, c: char) {
        self.skip_joined();
        if c == ' ' || c == '\n' {
            if !self.skip_break() {
                self.escape_or_next();
            }
            return;
        }
        self.skip_break();
        self.escape_or_next();
    }

    fn escape_or_next(&mut self) {
        match self.next() {
            Some('\\') if self.quote == Some('"') => match self.next() {
                Some('x') => self.skip(2),
                Some('u') => self.skip(4),
                Some('U') => self.skip(8),
                Some(_) | None => {}
            },
            Some('\'') if self.quote == Some('\'') => self.skip(1),
            Some(_) | None => {}
        }
    }

    /// Steps over a break that a backslash takes away.
    fn skip_joined(&mut self) {
        while self.quote == Some('"')
            && (self.rest.starts_with("\\\n") || self.rest.starts_with("\\\r\n"))
        {
            while !self.rest.is_empty() && !self.rest.starts_with('\n') {
                self.next();
            }
            self.next();
            self.skip_blanks();
        }
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    fn skip_blanks(&mut self) {
        while self.rest.starts_with([' ', '\t']) {
            self.next();
        }
    }

    /// Steps over a fold: blanks, a break, and the indentation of the next line. False if there is none here.
    fn skip_break(&mut self) -> bool {
        let after = self.rest.trim_start_matches([' ', '\t', '\r']);
        if !after.starts_with('\n') {
            return false;
        }
        while self.rest.starts_with([' ', '\t', '\r', '\n']) {
            self.next();
        }
        true
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
