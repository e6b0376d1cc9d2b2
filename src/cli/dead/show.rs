//! `upline dead show`.

use super::{header, instant, list, place};
use crate::{cli::output, stage::message::Headers, stream::jetstream::Kept};

/// Prints a letter with all that is known of it, or only its bytes.
pub(super) fn print(letter: &Kept, raw: bool) {
    if raw {
        return output::bytes(&letter.payload);
    }
    let header = |name| header(letter, name);
    output::line(&format!("dead letter {} of {}", letter.sequence, letter.subject));
    let time = |name| instant(letter, name).map(|at| at.to_string()).unwrap_or_default();
    for (name, value) in [
        ("from", header(Headers::SUBJECT).to_owned()),
        ("topic", header(Headers::TOPIC).to_owned()),
        ("received", time(Headers::RECEIVED_AT)),
        ("died", time(Headers::DIED_AT)),
        ("attempts", header(Headers::ATTEMPTS).to_owned()),
        ("code", header(Headers::CODE).to_owned()),
        ("path", header(Headers::PATH).to_owned()),
        ("reason", header(Headers::REASON).to_owned()),
        ("sha-256", header(Headers::DIGEST).to_owned()),
        ("bytes", letter.payload.len().to_string()),
        ("history", list::settled(letter).unwrap_or_default()),
    ] {
        if !value.is_empty() {
            output::line(&format!("  {name:<10}{value}"));
        }
    }
    output::line("");
    output::line(&body(letter));
}

/// The body over several lines with a mark at the place of the reason; as it is if it is not JSON.
fn body(letter: &Kept) -> String {
    let text = String::from_utf8_lossy(&letter.payload);
    let text = text.trim_start_matches('\u{feff}');
    if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
        return text.to_owned();
    }
    let path = header(letter, Headers::PATH);
    let mark = match path {
        "" | "$" => None,
        path => place::find(text, path).map(|at| at.start),
    };
    place::pretty(text, mark, &format!("    <-- {}", header(letter, Headers::REASON)))
}
