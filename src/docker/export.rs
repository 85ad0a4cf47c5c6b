//! Images out of an engine: one stream, in which layers that they share are once.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio_util::bytes::Bytes;

use super::{Engine, Error};

/// An engine says nothing until it has copied all layers, for which no limit is right.
const UNLIMITED: Duration = Duration::MAX;
/// At a hundred megabytes a second this is enough for more than any laptop has.
const LONGEST_SILENCE: Duration = Duration::from_hours(1);

impl Engine {
    /// Returns a tar archive with these images, by names or ids. It is whole if it ends without an error.
    pub fn export_images(
        &self,
        names: &[String],
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<> {
        let what = format!("save {}", shown(names));
        let api = self.api.clone().with_timeout(UNLIMITED);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let pieces = api.export_images(&names);
        limited(pieces, what, LONGEST_SILENCE)
    }
}

/// Ends after the first error, and with one if nothing comes for too long.
fn limited<S>(
    pieces: S,
    what: String,
    longest_silence: Duration,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<S>
where
    S: Stream<Item = Result<Bytes, bollard::errors::Error>> + Send + Unpin + 'static,
{
    let next = move |pieces: Option<(S, String)>| async move {
        let (mut pieces, what) = pieces?;
        let piece = tokio::time::timeout(longest_silence, pieces.next()).await;
        match piece.unwrap_or(Some(Err(bollard::errors::Error::RequestTimeoutError)))? {
            Ok(piece) => Some((Ok(piece), Some((pieces, what)))),
            Err(source) => Some((Err(Error::of(what)(source)), None)),
        }
    };
    stream::unfold(Some((pieces, what)), next).boxed()
}

fn shown(names: &[String]) -> String {
    match names {
        [one] => format!("the image `{one}`"),
        several => format!("{} images", several.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ends_with(
        pieces: impl Stream<Item = Result<Bytes, bollard::errors::Error>> + Send + Unpin + 'static,
    ) -> String {
        let names = ["a".to_owned(), "b".to_owned()];
        let found: Vec<_> =
            limited(pieces, format!("save {}", shown(&names)), Duration::from_millis(5)).collect().await;
        let found =
            found.into_iter().map(|piece| piece.map_or_else(|error| error.to_string(), |_| "-".to_owned()));
        found.collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn the_first_error_is_the_last_piece() {
        let good = || Ok(Bytes::from_static(b"tar"));
        let bad = || Err(bollard::errors::Error::DockerStreamError { error: "no".to_owned() });
        assert_eq!(ends_with(stream::iter([good(), good()])).await, "- -");
        let failed = "the Docker engine could not save 2 images";
        assert_eq!(ends_with(stream::iter([good(), bad(), good()])).await, format!("- {failed}"));
        let lost = "the Docker engine stopped answering while it was to save 2 images";
        assert_eq!(ends_with(stream::iter([good()]).chain(stream::pending())).await, format!("- {lost}"));
    }
}
