//! Pages of lists: which slice a token means, and the token of the next one.

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE};
use base64::{DecodeError, Engine as _, alphabet};

use super::answer::Refusal;

/// How many things are on a page.
const LIMIT: u16 = 100;

/// Which page is asked for; the first one is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    page: u16,
}

/// Go overlooks bits behind the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

impl Token {
    /// Reads the values that a query gives for `nextPageToken`.
    pub(super) fn read(values: &[&str]) -> Result<Self, Refusal> {
        match values {
            [] | [""] => Ok(Self { page: 1 }),
            [text] => Self::parse(text),
            _ => Err(Refusal::bad("too many values for page token")),
        }
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let bytes = LENIENT.decode(text).map_err(|error| {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. } => at,
                // Go tells where the last group of four begins.
                _ => text.len().saturating_sub(1) / 4 * 4,
            };
            Refusal::bad(format!("illegal base64 data at input byte {at}"))
        })?;
        // More than is read is overlooked.
        let Some([l0, l1, p0, p1]) = bytes.first_chunk() else { return Err(Refusal::bad("unexpected EOF")) };
        let (limit, page) = (u16::from_le_bytes([*l0, *l1]), u16::from_le_bytes([*p0, *p1]));
        if limit != LIMIT {
            return Err(Refusal::bad(format!("token limit must be {LIMIT}")));
        }
        if page == 0 {
            return Err(Refusal::bad("token page must be greater than zero"));
        }
        Ok(Self { page })
    }

    fn render(self) -> String {
        let ([l0, l1], [p0, p1]) = (LIMIT.to_le_bytes(), self.page.to_le_bytes());
        URL_SAFE.encode([l0, l1, p0, p1])
    }

    /// Returns what is on the page, and the token of the next one. As with fleet there is a next one, though
    /// empty, where a page ends just where the list does.
    pub(super) fn cut<T>(self, all: Vec<T>) -> (Vec<T>, String) {
        let limit = usize::from(LIMIT);
        let start = usize::from(self.page - 1) * limit;
        let next = if all.len() >= start + limit { self.page.checked_add(1) } else { None };
        let next = next.map(|page| Self { page }.render()).unwrap_or_default();
        (all.into_iter().skip(start).take(limit).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(page: u16) -> String {
        Token { page }.render()
    }

    #[track_caller]
    fn refused(values: &[&str], want: &str) {
        assert_eq!(Token::read(values), Err(Refusal::bad(want)));
    }

    #[test]
    fn tokens_are_those_of_fleet() {
        assert_eq!(page(2), "ZAACAA==");
        assert_eq!(Token::read(&["ZAACAA=="]), Ok(Token { page: 2 }));
        assert_eq!(Token::read(&[]), Ok(Token { page: 1 }));
        assert_eq!(Token::read(&[""]), Ok(Token { page: 1 }));
        // Bits and bytes behind the end are overlooked, as Go does.
        assert_eq!(Token::read(&["ZAACAB=="]), Ok(Token { page: 2 }));
        assert_eq!(Token::read(&["ZAACAAAA"]), Ok(Token { page: 2 }));
    }

    #[test]
    fn what_is_no_token_is_refused_in_the_words_of_fleet() {
        refused(&["a", "b"], "too many values for page token");
        refused(&["ZA*CAA=="], "illegal base64 data at input byte 2");
        refused(&["ZAACAA"], "illegal base64 data at input byte 4");
        refused(&["ZAAC"], "unexpected EOF");
        refused(&["ZQACAA=="], "token limit must be 100");
        refused(&["ZAAAAA=="], "token page must be greater than zero");
    }

    #[test]
    fn a_page_ends_where_it_should() {
        let cut = |page, len: usize| {
            let (items, next) = Token { page }.cut((0..len).collect());
            (items.first().copied(), items.len(), next)
        };
        assert_eq!(cut(1, 0), (None, 0, String::new()));
        assert_eq!(cut(1, 99), (Some(0), 99, String::new()));
        assert_eq!(cut(1, 100), (Some(0), 100, page(2)));
        assert_eq!(cut(2, 100), (None, 0, String::new()));
        assert_eq!(cut(1, 101), (Some(0), 100, page(2)));
        assert_eq!(cut(2, 101), (Some(100), 1, String::new()));
        assert_eq!(cut(9, 101), (None, 0, String::new()));
        // 65535 pages are all that a token can say; the numbers of things go further.
        assert_eq!(cut(656, 65_700), (Some(65_500), 100, page(657)));
        assert_eq!(cut(u16::MAX, 6_553_500), (Some(6_553_400), 100, String::new()));
    }

    proptest! {
        #[test]
        fn every_text_is_a_token_or_is_refused(text in "[A-Za-z0-9_=-]{0,12}|\\PC{0,12}") {
            if let Err(refusal) = Token::read(&[&text]) {
                prop_assert_eq!(refusal.status, 400);
            }
        }

        #[test]
        fn pages_hold_everything_once(len in 0..450_usize) {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let (items, next) = Token::read(&[&token]).unwrap().cut((0..len).collect());
                seen.extend(items);
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            prop_assert_eq!(seen, (0..len).collect::<Vec<_>>());
        }
    }
}
