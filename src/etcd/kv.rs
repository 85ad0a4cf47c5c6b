//! Keys and transactions.
//!
//! A change that ends in an error other than [`Error::Refused`] or [`Error::LeaseGone`] may have been made,
//! or be made yet: what is sent cannot be taken back.

use super::client::{Client, Error};
use super::wire::{
    Compare, Entry, Op, Outcome, Page, Range, parse_outcome, parse_page, parse_pages, render_range,
    render_ranges, render_txn,
};

impl Client {
    /// Returns the revision that etcd is at, and what the key is then. Like all that is read here, it is
    /// no older than the call.
    pub async fn range(&mut self, key: &str) -> Result<(u64, Option<Entry>), Error> {
        let page = self.page(&Range::exactly(key)).await?;
        Ok((page.revision, page.entries.into_iter().next()))
    }

    /// Returns all keys that begin like this.
    pub async fn prefix(&mut self, prefix: &str) -> Result<Page, Error> {
        self.page(&Range::below(prefix)).await
    }

    /// Returns all keys that are, or are below, one of these: below those that end in `/`. It is all of
    /// one revision. etcd takes 128 of them unless told otherwise.
    pub async fn prefixes(&mut self, prefixes: &[&str]) -> Result<Page, Error> {
        let ranges: Vec<Range> = prefixes.iter().map(|prefix| Range::named(prefix)).collect();
        let body = self.ask_cluster("/v3/kv/txn", render_ranges(&ranges)).await?;
        parse_pages(&body).map_err(|source| Error::Unreadable { source })
    }

    /// Makes all these changes at once if all of that is so, and else none. etcd takes 128 of each unless
    /// told otherwise.
    pub async fn txn(&mut self, compares: &[Compare], ops: &[Op]) -> Result<Outcome, Error> {
        let body = self.ask_cluster("/v3/kv/txn", render_txn(compares, ops)).await?;
        parse_outcome(&body).map_err(|source| Error::Unreadable { source })
    }

    async fn page(&mut self, range: &Range) -> Result<Page, Error> {
        let body = self.ask_cluster("/v3/kv/range", render_range(range)).await?;
        parse_page(&body).map_err(|source| Error::Unreadable { source })
    }
}
