//! `upline dead fix` and `upline dead drop`: the original always goes to the archive first.

use std::path::Path;

use anyhow::Context;
use bytes::Bytes;

use super::{DROPPED, FIXED, header, place};
use crate::{
    clock::Clock,
    domain::digest::Digest,
    stage::message::Headers,
    stream::{
        Outgoing, Publish,
        jetstream::{JetStream, Kept, StreamName},
    },
};

/// The corrected bytes of a letter.
pub(super) fn corrected(
    letter: &Kept,
    body: Option<&Path>,
    set: &[String],
) -> anyhow::Result<Bytes> {
    let corrected = if let Some(file) = body {
        Bytes::from(std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?)
    } else {
        let text = std::str::from_utf8(&letter.payload)
            .context("the body is not UTF-8: give a whole one with --body")?;
        let mut text = text.trim_start_matches('\u{feff}').to_owned();
        for change in set {
            let (path, json) = change
                .split_once('=')
                .with_context(|| format!("{change:?} is not of the form PATH=JSON"))?;
            text = place::set(&text, path.trim(), json.trim()).map_err(anyhow::Error::msg)?;
        }
        Bytes::from(text)
    };
    anyhow::ensure!(corrected != letter.payload, "the body is what it was before");
    Ok(corrected)
}

/// Settles letters in somebody's name.
pub(super) struct Settler<'a> {
    pub(super) log: &'a JetStream,
    pub(super) clock: &'a Clock,
    pub(super) by: String,
    pub(super) why: String,
}

impl Settler<'_> {
    fn signed(&self, letter: &Kept) -> Headers {
        letter
            .headers
            .clone()
            .with(Headers::BY, &self.by)
            .with(Headers::AT, &self.clock.now().as_microsecond().to_string())
            .with(Headers::WHY, &self.why)
    }

    async fn publish(&self, message: Outgoing) -> anyhow::Result<u64> {
        let receipts = self.log.publish(vec![message]).await;
        let receipt = receipts.into_iter().next().context("nothing was published")??;
        Ok(receipt.sequence)
    }

    /// Puts the original into the archive, then the corrected copy in its place, then removes the
    /// original from its place. Cut off in between, nothing is lost.
    pub(super) async fn fix(&self, letter: &Kept, corrected: Bytes) -> anyhow::Result<Kept> {
        let died = header(letter, Headers::DIED_AT);
        let original = self
            .publish(Outgoing {
                subject: FIXED.to_owned(),
                id: format!("fixed:{}:{died}", letter.sequence),
                headers: self.signed(letter),
                payload: letter.payload.clone(),
            })
            .await?;
        let digest = Digest::of(&corrected).to_string();
        let headers = self
            .signed(letter)
            .with(Headers::ORIGINAL, &original.to_string())
            .with(Headers::DIGEST, &digest);
        let copy = Outgoing {
            subject: letter.subject.clone(),
            id: format!("fix:{}:{died}:{digest}", letter.sequence),
            headers: headers.clone(),
            payload: corrected.clone(),
        };
        let sequence = self.publish(copy).await?;
        self.log.delete(StreamName::Dead, letter.sequence).await?;
        Ok(Kept { sequence, subject: letter.subject.clone(), headers, payload: corrected })
    }

    /// Puts a letter into the archive with the reason, with or without its bytes.
    pub(super) async fn drop(&self, letter: &Kept, erase: bool) -> anyhow::Result<()> {
        let payload = if erase { Bytes::new() } else { letter.payload.clone() };
        self.publish(Outgoing {
            subject: DROPPED.to_owned(),
            id: format!("dropped:{}:{}", letter.sequence, header(letter, Headers::DIED_AT)),
            headers: self.signed(letter),
            payload,
        })
        .await?;
        Ok(self.log.delete(StreamName::Dead, letter.sequence).await?)
    }
}
