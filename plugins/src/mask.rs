//! Keeping secrets out of the words that a job type makes up itself: messages, outputs, arguments.
//!
//! The log is masked where it is written; this is for what never goes through a log.

use weir_core::mask::Masker;
use weir_core::secret::Secret;

/// The text with every form of every secret replaced.
pub(crate) fn hide(text: &str, secrets: &[Secret]) -> String {
    let mut masker = Masker::new(secrets);
    if masker.is_idle() {
        return text.to_owned();
    }
    let mut shown = Vec::new();
    masker.push(text.as_bytes(), &mut shown);
    masker.finish(&mut shown);
    String::from_utf8_lossy(&shown).into_owned()
}

/// The secret that this text gives away, if any. One too short to be masked counts only as the whole text.
pub(crate) fn find<'a>(text: &str, secrets: &'a [Secret]) -> Option<&'a Secret> {
    secrets.iter().find(|secret| {
        if secret.is_maskable() {
            let forms = secret.forms();
            forms.iter().any(|form| str::from_utf8(form).is_ok_and(|form| text.contains(form)))
        } else {
            !secret.expose().is_empty() && text == secret.expose()
        }
    })
}
