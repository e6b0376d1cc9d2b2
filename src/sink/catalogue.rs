//! Beside the order book: the catalogue of what the shops sell.

use std::sync::Arc;

use crate::{
    domain::article::ArticleEvent,
    store::Articles,
    stream::{Effect, Fate, ServiceError, Sink},
};

/// Joins facts about articles into the catalogue.
#[derive(Debug)]
pub struct CatalogueSink<S> {
    store: Arc<S>,
}

impl<S> CatalogueSink<S> {
    /// A sink that writes to `store`.
    pub fn new(store: Arc<S>) -> Self {
        Self { store }
    }
}

impl<S: Articles> Sink<ArticleEvent> for CatalogueSink<S> {
    async fn deliver(&self, effects: &[Effect<ArticleEvent>]) -> Result<Vec<Fate>, ServiceError> {
        let events: Vec<&ArticleEvent> = effects.iter().map(|effect| &effect.value).collect();
        self.store.record(&events).await?;
        Ok(effects.iter().map(|_| Fate::Delivered).collect())
    }
}
