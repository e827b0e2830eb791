//! The forms in which chats want to be told, and how each says that it has taken it.
//!
//! Slack: incoming webhooks. `DingTalk`: custom robots, with the signature of their security settings. `WeCom`: group
//! robots. Feishu: custom bots, with their signature. Anything else gets the notice as JSON, signed as the calls are
//! that Weir itself takes.

use ring::hmac;
use serde_json::{Value, json};
use weir_core::notice::Message;
use weir_core::webhook;

/// Who listens at a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Slack,
    DingTalk,
    WeCom,
    Feishu,
}

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// The bytes that a text may have: `WeCom` takes 2,048, the others more.
const LONGEST: usize = 2_000;

impl Kind {
    /// What an address says: `slack+https://...`, or a host that is known.
    pub(super) fn of(address: &str) -> (Self, &str) {
        let named = [
            ("json+", Self::Json),
            ("slack+", Self::Slack),
            ("dingtalk+", Self::DingTalk),
            ("wecom+", Self::WeCom),
            ("feishu+", Self::Feishu),
        ];
        for (prefix, kind) in named {
            if let Some(url) = address.strip_prefix(prefix) {
                return (kind, url);
            }
        }
        let host = address.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', '?', ':']).next().unwrap_or_default().to_ascii_lowercase();
        let kind = match host.as_str() {
            "hooks.slack.com" => Self::Slack,
            "oapi.dingtalk.com" => Self::DingTalk,
            "qyapi.weixin.qq.com" => Self::WeCom,
            "open.feishu.cn" | "open.larksuite.com" => Self::Feishu,
            _ => Self::Json,
        };
        (kind, address)
    }

    /// What to send; `now_ms` is the time since 1970, for signatures.
    pub(super) fn call(
        self,
        url: &str,
        message: &Message,
        sign: Option<&str>,
        now_ms: i64,
    ) -> Call {
        let text = || message.within(LONGEST);
        let mut url = url.to_owned();
        let mut headers = vec![("Weir-Notice", message.id.clone())];
        let body = match self {
            Self::Json => {
                json!({ "notice": message, "subject": message.subject(), "text": message.body() })
            }
            Self::Slack => json!({ "text": escaped(&text()) }),
            Self::DingTalk => {
                if let Some(secret) = sign {
                    let signed = hmac_base64(secret, &format!("{now_ms}\n{secret}"));
                    let mark = if url.contains('?') { '&' } else { '?' };
                    let signed = signed.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
                    url = format!("{url}{mark}timestamp={now_ms}&sign={signed}");
                }
                json!({ "msgtype": "text", "text": { "content": text() } })
            }
            Self::WeCom => json!({ "msgtype": "text", "text": { "content": text() } }),
            Self::Feishu => {
                let mut body = json!({ "msg_type": "text", "content": { "text": text() } });
                if let Some(secret) = sign {
                    let seconds = (now_ms / 1_000).to_string();
                    body["sign"] = hmac_base64(&format!("{seconds}\n{secret}"), "").into();
                    body["timestamp"] = seconds.into();
                }
                body
            }
        };
        let body = body.to_string();
        if let (Self::Json, Some(secret)) = (self, sign) {
            let seconds = (now_ms / 1_000).to_string();
            let signature = webhook::sign(secret.as_bytes(), &seconds, body.as_bytes());
            headers.push(("Weir-Timestamp", seconds));
            headers.push(("Weir-Signature", signature));
        }
        Call { url, headers, body }
    }

    /// Whether an answer says that it was taken. Some chats say no with status 200.
    pub(super) fn judge(self, status: u16, body: &[u8]) -> Result<(), String> {
        if !(200..300).contains(&status) {
            return Err(format!("the webhook answers {status}"));
        }
        let (code, words) = match self {
            Self::Json | Self::Slack => return Ok(()),
            Self::DingTalk | Self::WeCom => ("errcode", "errmsg"),
            Self::Feishu => ("code", "msg"),
        };
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        // Feishu's older bots say it in another word.
        let number = answer.get(code).or_else(|| answer.get("StatusCode")).and_then(Value::as_i64);
        match number {
            Some(0) => Ok(()),
            Some(number) => {
                let words: String =
                    answer[words].as_str().unwrap_or_default().chars().take(200).collect();
                Err(format!("the webhook says no: {number} {words}").trim_end().to_owned())
            }
            None => Err("the webhook does not say that it has taken it".to_owned()),
        }
    }
}

/// What Slack wants escaped.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn hmac_base64(key: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    base64(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// Base64 of RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let held = three.iter().fold(0_u32, |held, byte| held << 8 | u32::from(*byte));
        let held = held << (8 * (3 - three.len()));
        for place in 0..4 {
            if place <= three.len() {
                let six = held >> (18 - 6 * place) & 63;
                text.push(char::from(LETTERS[six as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use weir_core::notice::Reason;
    use weir_core::time::Timestamp;

    use super::*;

    fn message() -> Message {
        let at = Timestamp::from_millis(1_795_000_000_000);
        Message {
            id: "7-12-failed".to_owned(),
            reason: Reason::Failed,
            project: "tap".to_owned(),
            flow: "format".to_owned(),
            title: None,
            run: 7,
            task: None,
            at,
            due: at,
            by: "anna".to_owned(),
            details: vec!["a < b & c".to_owned()],
            more: 0,
            link: Some("https://w/runs/7".to_owned()),
        }
    }

    fn call(kind: Kind, sign: Option<&str>) -> (Call, Value) {
        let call = kind.call("https://h/x?k=1", &message(), sign, 1_795_000_000_123);
        let body = serde_json::from_str(&call.body).expect("JSON");
        (call, body)
    }

    const TEXT: &str = "[Weir] tap/format has failed (run 7)\na < b & c\nat 2026-11-18T11:06:40.000Z, begun by anna\nhttps://w/runs/7\n";

    #[test]
    fn who_listens_is_known_by_the_address() {
        let table = [
            ("https://hooks.slack.com/services/T/B/x", Kind::Slack, ""),
            ("https://oapi.dingtalk.com/robot/send?access_token=x", Kind::DingTalk, ""),
            ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x", Kind::WeCom, ""),
            ("https://open.feishu.cn/open-apis/bot/v2/hook/x", Kind::Feishu, ""),
            ("https://ops.example.org/hooks.slack.com/", Kind::Json, ""),
            ("dingtalk+http://127.0.0.1:9/", Kind::DingTalk, "dingtalk+"),
            ("json+https://hooks.slack.com/x", Kind::Json, "json+"),
        ];
        for (address, kind, prefix) in table {
            assert_eq!(Kind::of(address), (kind, &address[prefix.len()..]), "{address}");
        }
    }

    #[test]
    fn each_chat_has_its_form() {
        let (slack, body) = call(Kind::Slack, None);
        assert_eq!(body, json!({ "text": escaped(TEXT) }));
        assert!(body["text"].as_str().is_some_and(|text| text.contains("a &lt; b &amp; c")));
        assert_eq!(slack.headers, [("Weir-Notice", "7-12-failed".to_owned())]);
        for kind in [Kind::DingTalk, Kind::WeCom] {
            let (call, body) = call(kind, None);
            assert_eq!(body, json!({ "msgtype": "text", "text": { "content": TEXT } }));
            assert_eq!(call.url, "https://h/x?k=1");
        }
        let (_, body) = call(Kind::Feishu, None);
        assert_eq!(body, json!({ "msg_type": "text", "content": { "text": TEXT } }));
        let (_, body) = call(Kind::Json, None);
        assert_eq!(
            (&body["notice"]["run"], &body["notice"]["reason"]),
            (&json!(7), &json!("failed"))
        );
        assert_eq!(body["subject"], "[Weir] tap/format has failed (run 7)");
    }

    #[test]
    fn signatures_are_those_that_each_wants() {
        // By openssl: printf '1795000000123\nSEC' | openssl dgst -sha256 -hmac SEC -binary | base64
        let (dingtalk, _) = call(Kind::DingTalk, Some("SEC"));
        let tail = dingtalk.url.strip_prefix("https://h/x?k=1&timestamp=1795000000123&sign=");
        assert_eq!(tail, Some(DINGTALK), "{}", dingtalk.url);
        // printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf '1795000000\nSEC' | xxd -p) -binary | base64
        let (_, body) = call(Kind::Feishu, Some("SEC"));
        assert_eq!(body["timestamp"], "1795000000");
        assert_eq!(body["sign"], FEISHU);
        let (own, _) = call(Kind::Json, Some("SEC"));
        let header =
            |name| own.headers.iter().find(|(one, _)| *one == name).map(|(_, v)| v.as_str());
        let (at, signature) = (header("Weir-Timestamp"), header("Weir-Signature"));
        let now = Timestamp::from_millis(1_795_000_000_123);
        let verified = webhook::verify(
            b"SEC",
            at.unwrap_or_default(),
            signature.unwrap_or_default(),
            own.body.as_bytes(),
            now,
        );
        assert!(verified.is_ok(), "{verified:?}");
    }

    const DINGTALK: &str = "wJzI4v5v3oGwEvRpLrCpkm2yyeZf7NZkbibjn17IjWg%3D";
    const FEISHU: &str = "wT9wo7wNjgPhTBJHMrMPH3+Gwm3SbGatbzbTpxomHak=";

    #[test]
    fn a_no_with_status_200_is_a_no() {
        let judge = |kind: Kind, status, body: &str| kind.judge(status, body.as_bytes());
        assert_eq!(judge(Kind::DingTalk, 200, r#"{"errcode":0,"errmsg":"ok"}"#), Ok(()));
        assert_eq!(
            judge(Kind::DingTalk, 200, r#"{"errcode":310000,"errmsg":"keywords not in content"}"#),
            Err("the webhook says no: 310000 keywords not in content".to_owned())
        );
        assert_eq!(judge(Kind::Feishu, 200, r#"{"StatusCode":0}"#), Ok(()));
        assert_eq!(judge(Kind::Feishu, 200, r#"{"code":0,"msg":"success"}"#), Ok(()));
        assert!(judge(Kind::Feishu, 200, r#"{"code":19021,"msg":"sign match fail"}"#).is_err());
        assert!(judge(Kind::WeCom, 200, "hello").is_err());
        assert_eq!(judge(Kind::Slack, 200, "ok"), Ok(()));
        assert_eq!(judge(Kind::Json, 204, ""), Ok(()));
        assert_eq!(judge(Kind::Json, 302, ""), Err("the webhook answers 302".to_owned()));
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
