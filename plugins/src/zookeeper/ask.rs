//! Asking a server: four-letter words on its client port, or the `AdminServer` over HTTP.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::way::{Server, Way, plain};

use super::ensemble::{Answer, Mode, Serving};

/// How long one server may take to answer, the way to it included.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest answer that is read, in bytes.
const LIMIT: u64 = 256 << 10;

/// What a server without quorum says.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// How the servers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Asked {
    /// By four-letter words.
    #[default]
    Words,
    /// By HTTP.
    AdminServer,
}

impl Asked {
    /// The port where that is answered, if nothing else is said.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Words => 2181,
            Self::AdminServer => 8080,
        }
    }
}

impl Way {
    /// Sends a question and reads all that is answered until the other side closes.
    async fn ask(&self, server: &Server, question: &str) -> Result<String, String> {
        let answer = async {
            let line = self.connect(&server.host, server.port).await;
            let mut line = line.map_err(|error| error.message)?;
            line.write_all(question.as_bytes()).await.map_err(|error| plain(&error))?;
            let mut bytes = Vec::new();
            // What came before a reset still counts.
            let read = line.take(LIMIT).read_to_end(&mut bytes).await;
            match read {
                Err(error) if bytes.is_empty() => Err(plain(&error)),
                _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            }
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    async fn command(&self, server: &Server, name: &str) -> Result<Value, String> {
        let question = format!(
            "GET /commands/{name} HTTP/1.0\r\nHost: {server}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        );
        let answer = self.ask(server, &question).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let first = head.lines().next().unwrap_or_default();
        serde_json::from_str(body)
            .map_err(|_| format!("this is no AdminServer: it answers `{}`", cut(first)))
    }
}

/// Asks all servers at once.
pub(super) async fn all(way: &Way, servers: &[Server], ask: Asked) -> Vec<(String, Answer)> {
    let mut asking = Vec::new();
    for server in servers {
        let (way, server) = (way.clone(), server.clone());
        asking.push(tokio::spawn(async move {
            let answer = match ask {
                Asked::Words => way.ask(&server, "srvr").await.map(|text| read_words(&text)),
                Asked::AdminServer => {
                    way.command(&server, "srvr").await.map(|value| read_admin(&value))
                }
            };
            (server.to_string(), answer.unwrap_or_else(Answer::Silent))
        }));
    }
    let mut answers = Vec::new();
    for asked in asking {
        answers.push(asked.await.expect("asking does not panic"));
    }
    answers
}

/// The numbers of `mntr`, by server.
///
/// # Errors
/// A server does not give them.
pub(super) async fn metrics(way: &Way, servers: &[Server], ask: Asked) -> Result<Value, String> {
    let mut all = Map::new();
    for server in servers {
        let numbers = match ask {
            Asked::Words => way.ask(server, "mntr").await.map(|text| read_mntr(&text)),
            Asked::AdminServer => way.command(server, "monitor").await.map(|value| numbers(&value)),
        };
        // Who does not answer at all is no mistake: a majority may be enough.
        match numbers {
            Ok(Some(numbers)) => {
                all.insert(server.to_string(), Value::Object(numbers));
            }
            Ok(None) => {
                return Err(format!(
                    "{server} does not answer to `mntr`\nhelp: add it to `4lw.commands.whitelist` in its zoo.cfg, or \
                     set `ask: admin-server`"
                ));
            }
            Err(_) => {}
        }
    }
    Ok(Value::Object(all))
}

fn read_words(text: &str) -> Answer {
    if text.contains(NOT_SERVING) {
        return Answer::NotServing;
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match field("Mode:").and_then(Mode::named) {
        Some(mode) => Answer::Serving(Serving {
            mode,
            version: field("Zookeeper version:")
                .map(|version| version.split([',', '-']).next().unwrap_or(version).to_owned()),
            zxid: field("Zxid:").map(str::to_owned),
            nodes: field("Node count:").and_then(|count| count.parse().ok()),
        }),
        None if text.contains("not in the whitelist") => Answer::Silent(
            "it may not be asked `srvr`: see `4lw.commands.whitelist` in its zoo.cfg".to_owned(),
        ),
        None if text.trim().is_empty() => {
            Answer::Silent("it closes the line without an answer".to_owned())
        }
        None => Answer::Silent(format!("this is no ZooKeeper: it answers `{}`", cut(text.trim()))),
    }
}

fn read_admin(value: &Value) -> Answer {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    match (text("/error"), text("/server_stats/server_state").and_then(Mode::named)) {
        (Some(error), _) if error.contains(NOT_SERVING) => Answer::NotServing,
        (Some(error), _) => Answer::Silent(cut(error)),
        (None, Some(mode)) => Answer::Serving(Serving {
            mode,
            version: text("/version")
                .map(|version| version.split([',', '-']).next().unwrap_or(version).to_owned()),
            zxid: value
                .pointer("/server_stats/last_processed_zxid")
                .and_then(Value::as_u64)
                .map(|zxid| format!("{zxid:#x}")),
            nodes: value.pointer("/node_count").and_then(Value::as_u64),
        }),
        (None, None) => {
            Answer::Silent("the AdminServer does not say what state it is in".to_owned())
        }
    }
}

/// `None` if it does not answer to this.
fn read_mntr(text: &str) -> Option<Map<String, Value>> {
    if !text.contains("zk_") && !text.contains(NOT_SERVING) {
        return None;
    }
    let number = |line: &str| {
        let (key, value) = line.split_once('\t')?;
        let value: serde_json::Number = value.trim().parse().ok()?;
        Some((key.to_owned(), Value::Number(value)))
    };
    Some(text.lines().filter_map(number).collect())
}

fn numbers(value: &Value) -> Option<Map<String, Value>> {
    let object = value.as_object()?;
    let numbers = object.iter().filter(|(_, value)| value.is_number());
    Some(numbers.map(|(key, value)| (format!("zk_{key}"), value.clone())).collect())
}

fn cut(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read() {
        let text = "Zookeeper version: 3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on 2022-02-25\n\
                    Latency min/avg/max: 0/0.0/0\nZxid: 0x100000003\nMode: leader\nNode count: 5\n";
        let serving = Serving {
            mode: Mode::Leader,
            version: Some("3.8.0".to_owned()),
            zxid: Some("0x100000003".to_owned()),
            nodes: Some(5),
        };
        assert_eq!(read_words(text), Answer::Serving(serving.clone()));
        assert_eq!(read_words(&format!("{NOT_SERVING}\n")), Answer::NotServing);
        let told = |text: &str| match read_words(text) {
            Answer::Silent(why) => why,
            Answer::Serving(_) | Answer::NotServing => panic!("{text} is an answer"),
        };
        assert!(
            told("srvr is not executed because it is not in the whitelist.\n").contains("zoo.cfg")
        );
        assert_eq!(told(""), "it closes the line without an answer");
        assert_eq!(
            told("SSH-2.0-OpenSSH_9\r\n"),
            "this is no ZooKeeper: it answers `SSH-2.0-OpenSSH_9`"
        );
        let admin = json!({
            "version": "3.8.0-5a", "node_count": 5, "error": null,
            "server_stats": { "server_state": "leader", "last_processed_zxid": 4_294_967_299_u64 },
        });
        assert_eq!(read_admin(&admin), Answer::Serving(serving));
        assert_eq!(read_admin(&json!({ "error": NOT_SERVING })), Answer::NotServing);
        let numbers =
            read_mntr("zk_version\t3.8.0-5a\nzk_avg_latency\t0.5\nzk_synced_followers\t2\n");
        assert_eq!(
            numbers.map(Value::Object),
            Some(json!({ "zk_avg_latency": 0.5, "zk_synced_followers": 2 }))
        );
        assert_eq!(read_mntr("mntr is not executed because it is not in the whitelist."), None);
    }
}
