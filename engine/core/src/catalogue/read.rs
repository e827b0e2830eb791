//! The catalogue's files: what they may hold, and what is wrong with them.

use std::collections::BTreeMap;

use super::{Catalogue, Entry, Rank};
use crate::flow::{self, Job, Signature, Text, Then};
use crate::job_types::JobTypes;
use crate::mistake::{Mistake, Place, Severity};
use crate::outcome::ErrorClass;
use crate::schema::{Checker, NAME, Schema, Templates};
use crate::yaml::{self, Data, Node, Source};

impl Catalogue {
    /// Reads the catalogue's files, each with the name that mistakes call it by. Their order is the order of the entries.
    /// The jobs of each remedy are held against their job types, as those of a flow are.
    ///
    /// # Errors
    /// All that is wrong with all of them.
    pub fn load(files: &[(&str, &str)], types: &JobTypes) -> Result<Self, Vec<Mistake>> {
        Self::read(files, Some(types))
    }

    /// Reads files that a version keeps. Job types may have changed since: a remedy that can't work any more must not
    /// take all others with it, so its jobs are taken as they are.
    ///
    /// # Errors
    /// All that is wrong with the files themselves.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, Vec<Mistake>> {
        Self::read(files, None)
    }

    fn read(files: &[(&str, &str)], types: Option<&JobTypes>) -> Result<Self, Vec<Mistake>> {
        let checker = Checker::new(Self::schema());
        let mut entries: Vec<Entry> = Vec::new();
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        let mut mistakes = Vec::new();
        for (file, text) in files {
            let source = Source::new(text);
            let (node, found) = yaml::read(file, &source);
            let before = mistakes.len() + found.len();
            mistakes.extend(found);
            let Some(node) = node else { continue };
            let mut reader = Reader { file, source: &source, types, mistakes: &mut mistakes };
            for finding in checker.check(&node, node.place, Templates::Refused) {
                reader.mistake(finding.code, finding.place, finding.message, finding.help);
            }
            if reader.mistakes.len() > before {
                // What follows takes the shape for granted.
                continue;
            }
            let uses = node.get("uses").map(texts).unwrap_or_default();
            for item in node.get("entries").map(Node::items).unwrap_or_default() {
                let Some(entry) = reader.entry(item, &uses) else { continue };
                if let Some(other) = first.get(&entry.id) {
                    let message = format!("there is another entry `{}`, in {other}", entry.id);
                    reader.mistake("repeated-entry", entry.place, message, None);
                } else {
                    first.insert(entry.id.clone(), (*file).to_owned());
                    entries.push(entry);
                }
            }
        }
        if mistakes.is_empty() { Ok(Self::new(entries)) } else { Err(mistakes) }
    }

    /// The shape of a catalogue file.
    pub fn schema() -> Schema {
        let words = || Schema::text().not_empty().fixed();
        let word_or_words = || Schema::one_of([words(), Schema::list(words()).not_empty()]);
        let ranks = Rank::ALL.map(Rank::name);
        let classes = ErrorClass::ALL.map(ErrorClass::name);
        let exit = || Schema::integer().minimum(-1).maximum(255);
        let class = || Schema::choice(classes);
        let signature = Schema::object()
            .optional("log", words().describe("A regular expression over a line of the log."))
            .optional(
                "exit",
                Schema::one_of([exit(), Schema::list(exit())]).describe("Exit codes."),
            )
            .optional(
                "class",
                Schema::one_of([class(), Schema::list(class())]).describe("Classes of failure."),
            )
            .optional(
                "uses",
                word_or_words()
                    .describe("Job types it may be met in; any, if none is said here or above."),
            )
            .not_empty()
            .describe("What it looks like. All that is said must hold.");
        let cure = Schema::object()
            .required("uses", words().describe("The job type."))
            .optional("with", Schema::anything().describe("Its settings."))
            .optional("needs", word_or_words().describe("Jobs of this remedy that go before."))
            .describe("A job that cures it.");
        let then = Schema::text()
            .fixed()
            .pattern("^(retry|continue|ask|fail|retry-from [A-Za-z0-9_][A-Za-z0-9_-]*)$")
            .describe("What follows: `retry`, `retry-from JOB`, `continue`, `ask` or `fail`.");
        let entry = Schema::object()
            .required(
                "id",
                words()
                    .pattern("^[A-Z][A-Z0-9]*-[0-9]+[a-z]?$")
                    .describe("Its name, such as `HDFS-02`."),
            )
            .required("title", words().describe("A line for lists."))
            .required(
                "rank",
                Schema::choice(ranks).describe("What a match says about the failure."),
            )
            .optional(
                "general",
                Schema::boolean().describe("Counts only where no specific entry matches."),
            )
            .required("match", signature)
            .required("diagnosis", words().describe("What it means."))
            .optional("advice", word_or_words().describe("What a person should do, step by step."))
            .optional(
                "jobs",
                Schema::map(cure)
                    .with("propertyNames", flow::names_like(NAME))
                    .describe("The jobs that cure it, by name."),
            )
            .optional("then", then)
            .optional(
                "limit",
                Schema::integer().minimum(1).maximum(1000).describe("How often for one task."),
            )
            .optional("destroys", words().describe("What the remedy destroys."))
            .optional("confirm", words().describe("What a person must weigh before agreeing."))
            .optional("guard", words().describe("What must hold, or must never be done."))
            .required("sample", word_or_words().describe("Log lines it must match."))
            .optional("source", words().describe("Where it is known from."));
        Schema::object()
            .optional(
                "uses",
                word_or_words().describe("Job types for all entries that do not say their own."),
            )
            .required("entries", Schema::list(entry))
    }
}

struct Reader<'a> {
    file: &'a str,
    source: &'a Source<'a>,
    types: Option<&'a JobTypes>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, code: &'static str, place: Place, message: String, help: Option<String>) {
        let file = self.file.to_owned();
        self.mistakes.push(Mistake { file, place, severity: Severity::Error, code, message, help });
    }

    /// An entry whose shape is right. `None` if its parts do not go together.
    fn entry(&mut self, node: &Node, uses: &[String]) -> Option<Entry> {
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let place = node.get("id").map_or(node.place, |id| id.place);
        let rank = Rank::named(node.get("rank")?.text()?)?;
        let then = node.get("then").map(then_of);
        let before = self.mistakes.len();
        let jobs = node.get("jobs").map(|jobs| self.cure(jobs)).unwrap_or_default();
        match (rank, &then) {
            (Rank::Primary | Rank::Transient | Rank::Guard, None) => self.mistake(
                "missing-key",
                place,
                format!("an entry of rank `{}` must say what follows", rank.name()),
                Some("write `then: ask` if a person must decide".to_owned()),
            ),
            (Rank::Guard, Some(Then::Retry | Then::RetryFrom(_) | Then::Continue)) => self.mistake(
                "guard",
                node.get("then")?.place,
                "a guard is never answered without a person".to_owned(),
                Some("write `then: ask`".to_owned()),
            ),
            (Rank::Secondary | Rank::Marker | Rank::Info | Rank::Noise, Some(_)) => self.mistake(
                "no-cause",
                node.get("then")?.place,
                format!(
                    "nothing can follow an entry of rank `{}`: it is never the cause",
                    rank.name()
                ),
                None,
            ),
            (Rank::Primary | Rank::Transient | Rank::Guard, Some(_))
            | (Rank::Ok | Rank::Secondary | Rank::Marker | Rank::Info | Rank::Noise, _) => {}
        }
        if !rank.is_cause() && node.get("jobs").is_some() {
            let message =
                format!("an entry of rank `{}` has no remedy: it is never the cause", rank.name());
            self.mistake("no-cause", node.get("jobs")?.place, message, None);
        }
        // Compiling all patterns would cost each start some milliseconds: that waits until a log is searched.
        let log = node.get("match").and_then(|signature| signature.get("log"));
        if let Some((log, pattern)) = log.and_then(|log| Some((log, log.text()?)))
            && let Err(error) =
                regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern)
        {
            let why = error.to_string();
            let why =
                why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let help =
                "a pattern is written as in the crate `regex`: no look-around, no back-references";
            let message = format!("this is no regular expression: {why}");
            self.mistake("bad-pattern", log.place, message, Some(help.to_owned()));
        }
        if self.mistakes.len() > before {
            return None;
        }
        let usual = if rank == Rank::Ok { Then::Continue } else { Then::Fail };
        Some(Entry {
            id: text("id")?,
            title: text("title")?,
            rank,
            signature: signature(node.get("match")?, uses),
            is_general: matches!(
                node.get("general").map(|node| &node.data),
                Some(Data::Bool(true))
            ),
            diagnosis: text("diagnosis")?.trim_end().to_owned(),
            advice: node.get("advice").map(texts).unwrap_or_default(),
            jobs,
            then: then.unwrap_or(usual),
            limit: node.get("limit").and_then(whole).unwrap_or(1),
            destroys: node.get("destroys").and_then(template),
            confirm: text("confirm"),
            guard: text("guard"),
            sample: node.get("sample").map(texts).unwrap_or_default(),
            source: text("source"),
            place,
        })
    }

    /// The jobs of a remedy.
    fn cure(&mut self, jobs: &Node) -> Vec<Job> {
        let (jobs, mut found) = flow::load_cure(self.file, self.source, jobs, self.types);
        self.mistakes.append(&mut found);
        jobs
    }
}

fn signature(node: &Node, uses: &[String]) -> Signature {
    let numbers = node.get("exit").map(one_or_many).unwrap_or_default();
    let classes = node.get("class").map(texts).unwrap_or_default();
    Signature {
        log: node.get("log").and_then(Node::text).map(str::to_owned),
        exit: numbers.into_iter().filter_map(whole).collect(),
        class: classes.iter().filter_map(|name| ErrorClass::named(name)).collect(),
        job_types: node.get("uses").map_or_else(|| uses.to_vec(), texts),
    }
}

fn then_of(node: &Node) -> Then {
    match node.text().unwrap_or_default() {
        "retry" => Then::Retry,
        "continue" => Then::Continue,
        "fail" => Then::Fail,
        words => match words.strip_prefix("retry-from ") {
            Some(job) => Then::RetryFrom(Text { source: job.to_owned(), place: node.place }),
            None => Then::Ask,
        },
    }
}

fn one_or_many(node: &Node) -> Vec<&Node> {
    match node.data {
        Data::List(_) => node.items().iter().collect(),
        Data::Null
        | Data::Bool(_)
        | Data::Int(_)
        | Data::Float(_)
        | Data::Text(_)
        | Data::Map(_) => vec![node],
    }
}

fn texts(node: &Node) -> Vec<String> {
    one_or_many(node).into_iter().filter_map(Node::text).map(str::to_owned).collect()
}

fn template(node: &Node) -> Option<Text> {
    node.text().map(|source| Text { source: source.to_owned(), place: node.place })
}

fn whole<T: TryFrom<i64>>(node: &Node) -> Option<T> {
    match node.data {
        Data::Int(number) => T::try_from(number).ok(),
        Data::Null
        | Data::Bool(_)
        | Data::Float(_)
        | Data::Text(_)
        | Data::List(_)
        | Data::Map(_) => None,
    }
}
