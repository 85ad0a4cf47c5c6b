//! The cases of what Dockerfiles build on.

use proptest::prelude::*;

use super::*;

fn found(text: &str, args: &[(&str, &str)], target: Option<&str>) -> Result<Vec<Base>, BadDockerfile> {
    let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    bases(text, &args, target)
}

#[track_caller]
fn check(text: &str, want: &[&str]) {
    check_with(text, &[], None, want);
}

#[track_caller]
fn check_with(text: &str, args: &[(&str, &str)], target: Option<&str>, want: &[&str]) {
    let bases = found(text, args, target).unwrap_or_else(|error| panic!("{text}: {error}"));
    let written: Vec<String> = bases
        .iter()
        .map(|base| match &base.platform {
            Some(platform) => format!("{} on {platform}", base.written),
            None => base.written.clone(),
        })
        .collect();
    assert_eq!(written, want, "{text}");
}

#[track_caller]
fn told(text: &str, target: Option<&str>, want: &str) {
    assert_eq!(found(text, &[], target).unwrap_err().to_string(), want, "{text}");
}

#[test]
fn a_file_builds_on_what_it_is_from() {
    check("FROM debian:12", &["debian:12"]);
    check("# c\nFROM \\\n  debian:12\nRUN FROM\n", &["debian:12"]);
    check("FROM scratch\nCOPY a /", &[]);
    check("from \"debian:12\" as base", &["debian:12"]);
    check("FROM --platform=linux/arm64 debian AS a", &["debian on linux/arm64"]);
    check("FROM a\nFROM a\nFROM b", &["a", "b"]);
    check("FROM localhost:5000/a/b:c\n", &["localhost:5000/a/b:c"]);
    check("FROM a\nRUN cat <<EOF\nFROM b\nEOF\n", &["a"]);
    let base = &found("FROM redis", &[], None).unwrap()[0];
    assert_eq!(base.name, ImageName::parse("docker.io/library/redis:latest").unwrap());
}

#[test]
fn its_own_stages_are_nothing_to_build_on() {
    check("FROM a AS Build\nFROM build AS x\nFROM BUILD", &["a"]);
    check(
        "FROM a AS b\nFROM c\nCOPY --from=b /x /\nCOPY --from=0 /x /\nCOPY --chown=1 --from=d /x /",
        &["a", "c", "d"],
    );
    // A stage knows those before it only.
    check("FROM b\nFROM a AS b", &["b", "a"]);
    check("FROM a\nCOPY --from=7 /x /", &["a", "7"]);
    check("FROM a\nONBUILD COPY --from=b /x /\nADD --from=c /x /\nCOPY x --from=d /", &["a"]);
    check("FROM a\nCOPY --from=scratch /x /", &["a"]);
}

#[test]
fn arguments_before_the_first_stage_count() {
    check("ARG V=12\nFROM debian:$V", &["debian:12"]);
    check_with("ARG V=12\nFROM debian:${V}", &[("V", "13")], None, &["debian:13"]);
    check_with("ARG V\nFROM debian:$V", &[("V", "13")], None, &["debian:13"]);
    check("ARG A=x B='y z' C\nARG D=$A-${C:-c}\nFROM $D", &["x-c"]);
    check("ARG V\nFROM debian${V}", &["debian"]);
    check("ARG P=linux/arm64\nFROM --platform=$P a", &["a on linux/arm64"]);
    check("FROM --platform=$BUILDPLATFORM a", &["a"]);
    // One that is given and not asked for is not known.
    check_with("FROM debian${V}", &[("V", "13")], None, &["debian"]);
    // Those within a stage are for that stage.
    check("FROM a\nARG V=b\nFROM x${V}", &["a", "x"]);
}

#[test]
fn stages_behind_the_target_do_not_matter() {
    let text = "FROM a AS one\nFROM b AS two\nFROM $NEVER";
    check_with(text, &[], Some("ONE"), &["a"]);
    check_with(text, &[], Some("1"), &["a", "b"]);
    told(text, None, "line 3: `$NEVER` names no image as long as the argument `NEVER` has no value");
    told("FROM a", Some("x"), "it has no stage `x`");
    told("FROM a", Some("1"), "it has no stage `1`");
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    told("", None, "it has no `FROM`");
    told("RUN x", None, "it has no `FROM`");
    told("FROM", None, "line 1: `FROM IMAGE` or `FROM IMAGE AS NAME` is expected");
    told("\nFROM a b", None, "line 2: `FROM IMAGE` or `FROM IMAGE AS NAME` is expected");
    told("ARG V\nFROM x:$V", None, "line 2: `x:$V` names no image as long as the argument `V` has no value");
    told("FROM ${V", None, "line 1: `${V` cannot be read");
    told("FROM A", None, "line 1: what is to be built on");
    told("FROM a\nCOPY --from=$A / /", None, "line 2: what is to be built on");
    told("# escape=x\nFROM a", None, "line 1: only a backslash or a backtick can be the escape character");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|\n|FROM |ARG |COPY --from=|\\$|\\{|<<|\\\\\n|#|`){0,80}") {
        drop(found(&text, &[("A", "x")], Some("a")));
        drop(found(&text, &[], None));
    }
}
