//! `upline dead list`.

use super::{header, instant};
use crate::{cli::output, stage::message::Headers, stream::jetstream::Kept};

/// Prints letters and what parked orders wait for.
pub(super) fn print(letters: &[Kept], waits: &[(String, String, String)], body: bool, json: bool) {
    for letter in letters {
        output::line(&if json { as_json(letter, body) } else { as_text(letter) });
        if body && !json {
            output::line(&String::from_utf8_lossy(&letter.payload));
        }
    }
    for (key, kind, value) in waits {
        output::line(&if json {
            serde_json::json!({ "order": key, "waits_for": kind, "value": value }).to_string()
        } else {
            format!("parked {key} waits for {kind} {value}")
        });
    }
    if !json {
        output::line(&format!("{} dead letters, {} waits", letters.len(), waits.len()));
    }
}

fn as_json(letter: &Kept, body: bool) -> String {
    let header = |name| header(letter, name);
    let known = |name| Some(header(name)).filter(|text| !text.is_empty());
    let raw = String::from_utf8_lossy(&letter.payload);
    serde_json::json!({
        "number": letter.sequence, "stage": letter.subject.trim_start_matches("dead."),
        "from": header(Headers::SUBJECT), "topic": header(Headers::TOPIC),
        "code": header(Headers::CODE), "path": header(Headers::PATH),
        "reason": header(Headers::REASON), "attempts": header(Headers::ATTEMPTS),
        "died_at": instant(letter, Headers::DIED_AT), "bytes": letter.payload.len(),
        "original": known(Headers::ORIGINAL), "by": known(Headers::BY),
        "at": instant(letter, Headers::AT), "why": known(Headers::WHY),
        "body": body.then_some(raw),
    })
    .to_string()
}

fn as_text(letter: &Kept) -> String {
    let header = |name| header(letter, name);
    let mut text = format!(
        "{:<6} {} {} {} bytes, attempt {}\n       {} at {}: {}",
        letter.sequence,
        header(Headers::SUBJECT),
        header(Headers::TOPIC),
        letter.payload.len(),
        header(Headers::ATTEMPTS),
        header(Headers::CODE),
        header(Headers::PATH),
        header(Headers::REASON),
    );
    if let Some(settled) = settled(letter) {
        text.push_str(&format!("\n       {settled}"));
    }
    text
}

/// Who corrected or dropped a letter, when and why.
pub(super) fn settled(letter: &Kept) -> Option<String> {
    let at = instant(letter, Headers::AT)?;
    let (by, why) = (header(letter, Headers::BY), header(letter, Headers::WHY));
    Some(match (letter.subject.as_str(), header(letter, Headers::ORIGINAL)) {
        (super::DROPPED, _) => format!("dropped by {by} at {at:.0}: {why}"),
        (super::FIXED, _) => format!("the original of a correction by {by} at {at:.0}: {why}"),
        (_, original) => format!("corrected by {by} at {at:.0}, original {original}: {why}"),
    })
}
