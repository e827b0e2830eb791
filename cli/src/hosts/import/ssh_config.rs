//! An OpenSSH client's config (`ssh_config(5)`): the first value that is found for a host counts.

use std::path::{Path, PathBuf};

use weir_engine::hosts::user_folder;

use super::draft::{Draft, Drafts};
use super::options::{take_option, words};

/// How deep files may include each other, as in OpenSSH.
const DEEPEST: usize = 16;
/// Keywords of which the first value counts, and that are taken over.
const TAKEN: [&str; 5] = ["user", "port", "identityfile", "proxyjump", "proxycommand"];

/// A keyword that holds for hosts of these patterns.
struct Line {
    file: String,
    number: usize,
    patterns: Vec<String>,
    keyword: String,
    value: String,
}

/// Reads a config with what it includes.
///
/// # Errors
/// `LINE: what is wrong`.
pub(super) fn read(file: &Path, text: &str, drafts: &mut Drafts) -> Result<(), String> {
    let mut lines = Vec::new();
    collect(file, text, &["*".to_owned()], 0, &mut lines, drafts)
        .map_err(|(place, words)| format!("{place}: {words}"))?;
    let mut names: Vec<&str> = Vec::new();
    for line in &lines {
        for name in &line.patterns {
            if !name.contains(['*', '?', '!']) && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    for name in names {
        let host = host(name, &lines, drafts);
        drafts.hosts.insert(name.to_owned(), host);
    }
    // What nobody's is said of is told once.
    for line in &lines {
        let keyword = line.keyword.to_ascii_lowercase();
        if keyword != "hostname" && keyword != "host" && !TAKEN.contains(&keyword.as_str()) {
            drafts.leave_in(&line.file, line.number, format!("`{}`", line.keyword));
        }
    }
    Ok(())
}

type Wrong = (String, String);

fn collect(
    file: &Path,
    text: &str,
    around: &[String],
    depth: usize,
    lines: &mut Vec<Line>,
    drafts: &mut Drafts,
) -> Result<(), Wrong> {
    let shown = if depth == 0 { String::new() } else { file.display().to_string() };
    let place = |number: usize| {
        if shown.is_empty() { number.to_string() } else { format!("{number} ({shown})") }
    };
    let mut patterns = around.to_vec();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        let value = value.trim_start_matches([' ', '\t', '=']).trim();
        match keyword.to_ascii_lowercase().as_str() {
            "host" => {
                patterns = words(value);
                // A host of which nothing is said is one, too.
                lines.push(Line {
                    file: shown.clone(),
                    number,
                    patterns: patterns.clone(),
                    keyword: "Host".to_owned(),
                    value: String::new(),
                });
            }
            "match" => {
                return Err((
                    place(number),
                    "`Match` depends on the moment of a connection, and can't be taken over\nhelp: write what it says under `Host` lines in a copy, and import that".to_owned(),
                ));
            }
            "include" => {
                if depth >= DEEPEST {
                    return Err((place(number), "files include each other too deep".to_owned()));
                }
                for pattern in words(value) {
                    let files = included(file, &pattern);
                    if files.is_empty() {
                        drafts.leave_in(
                            &shown,
                            number,
                            format!("`Include {pattern}`: there is no such file"),
                        );
                    }
                    for path in files {
                        let text = std::fs::read_to_string(&path).map_err(|error| {
                            (place(number), format!("{} can't be read: {error}", path.display()))
                        })?;
                        collect(&path, &text, &patterns, depth + 1, lines, drafts)?;
                    }
                }
            }
            _ => {
                let value = match words(value).as_slice() {
                    [one] if keyword.eq_ignore_ascii_case("proxycommand") => one.clone(),
                    [one] => one.clone(),
                    _ => value.to_owned(),
                };
                lines.push(Line {
                    file: shown.clone(),
                    number,
                    patterns: patterns.clone(),
                    keyword: keyword.to_owned(),
                    value,
                });
            }
        }
    }
    Ok(())
}

fn host(name: &str, lines: &[Line], drafts: &mut Drafts) -> Draft {
    let mut host = Draft::default();
    let mut seen: Vec<String> = Vec::new();
    for line in lines.iter().filter(|line| is_for(&line.patterns, name)) {
        let keyword = line.keyword.to_ascii_lowercase();
        // A jump and a command for the same are one setting.
        let key = if keyword == "proxycommand" { "proxyjump" } else { &keyword };
        if seen.iter().any(|seen| seen == key) {
            continue;
        }
        match key {
            "hostname" => host.address = Some(line.value.replace("%h", name)),
            key if TAKEN.contains(&key) => {
                let value = line.value.replace("%%", "%");
                let value = if key == "identityfile" {
                    value.replace("%d", "~").replace("%h", name)
                } else {
                    line.value.clone()
                };
                take_option(&line.keyword, &value, line.number, &mut host, drafts);
            }
            _ => continue,
        }
        seen.push(key.to_owned());
    }
    host
}

/// Whether a host's name fits: some pattern, and none that is denied with `!`.
fn is_for(patterns: &[String], name: &str) -> bool {
    let mut fits = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(denied) if matches(denied.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => fits |= matches(pattern.as_bytes(), name.as_bytes()),
        }
    }
    fits
}

/// `*` stands for any letters, `?` for one.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(sign) if *sign == b'?' || sign.eq_ignore_ascii_case(&name[from]) => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((place, begun)) => {
                    star = Some((place, begun + 1));
                    at = place + 1;
                    from = begun + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|sign| *sign == b'*')
}

/// The files that `Include` means: below the folder of the file that says so, unless its path is whole.
fn included(file: &Path, pattern: &str) -> Vec<PathBuf> {
    let whole = match pattern.strip_prefix("~/") {
        Some(below) => user_folder().unwrap_or_default().join(below),
        None => file.parent().unwrap_or(Path::new("")).join(pattern),
    };
    if !pattern.contains(['*', '?']) {
        return if whole.is_file() { vec![whole] } else { Vec::new() };
    }
    let (Some(folder), Some(name)) = (whole.parent(), whole.file_name()) else { return Vec::new() };
    let name = name.to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| matches(name.as_bytes(), entry.file_name().to_string_lossy().as_bytes()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_openssh() {
        for (pattern, name, fits) in [
            ("*", "a", true),
            ("web-??", "web-01", true),
            ("web-??", "web-1", false),
            ("*.example.*", "a.example.org", true),
            ("a*b*c", "aXbXbXc", true),
            ("", "a", false),
            ("A", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
        let patterns = ["*".to_owned(), "!jump".to_owned()];
        assert!(is_for(&patterns, "a") && !is_for(&patterns, "jump"));
    }
}
