//! Whether what the fleet of this folder's lab remembers is sound.

use crate::ops::doctor::finding::Finding;

const CHECK: &str = "fleet";

/// Judges what the fleet's registry was found to hold. A fleet that says nothing is no trouble of the host.
pub fn fleet(found: Result<Vec<String>, String>) -> Finding {
    match found {
        Err(why) => Finding::note(CHECK, format!("the lab here does not say how its registry is: {why}")),
        Ok(findings) if findings.is_empty() => Finding::fine(CHECK, "the registry of the lab here is sound"),
        Ok(findings) => Finding::warning(
            CHECK,
            format!("the registry of the lab here is not sound: {}", findings.join("; ")),
            "lab exec core-01 -- etcdctl del KEY",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::doctor::Verdict;

    #[test]
    fn ghosts_are_told_with_a_cure_and_silence_is_none() {
        assert_eq!(fleet(Ok(Vec::new())).verdict, Verdict::Fine);
        assert_eq!(fleet(Err("it is halted".to_owned())).verdict, Verdict::Note);
        let ghost = fleet(Ok(vec!["/lab/fleet/v1/target/m/a.service: there is no such unit".to_owned()]));
        assert_eq!(ghost.verdict, Verdict::Warning);
        assert!(ghost.says.contains("no such unit") && ghost.cure.is_some());
    }
}
