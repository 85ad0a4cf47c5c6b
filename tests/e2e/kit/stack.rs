//! A stack of the project that costs nothing: two instances that sleep, and say which image they run.

use super::TestLab;

const STACK: &str = r#"description = "Two instances of nothing."

[[units]]
name = "small@"
instances = 2
images = ["web"]
"#;
pub const UNITS: [&str; 2] = ["small@1.service", "small@2.service"];

impl TestLab {
    /// Writes the stack `small`, whose units take a moment to start and bear a mark.
    #[track_caller]
    pub fn write_small_stack(&self, mark: &str) {
        self.write("services/small/stack.toml", STACK);
        let unit = format!(
            "[Service]\nEnvironment=MARK={mark}\nExecStartPre=/bin/sleep 1\nExecStart=/bin/sleep infinity\n"
        );
        self.write("services/small/small@.service", unit);
    }

    /// Checks that all of the stack runs, and all of it with this mark and one image; and that nothing is to be done.
    #[track_caller]
    pub fn runs_small_stack(&self, mark: &str) {
        self.run(["up", "--stack", "small"]).ends_with(0).says("nothing to do");
        self.fleet("core-01").settled(&UNITS);
        let texts = UNITS.map(|unit| self.ok(["unit", "cat", unit]));
        assert!(texts.iter().all(|text| text.contains(&format!("MARK={mark}\n"))), "{texts:?}");
        let image = |text: &String| text.lines().find(|line| line.starts_with("Image=")).map(str::to_owned);
        assert_eq!(image(&texts[0]), image(&texts[1]));
        assert!(
            image(&texts[0]).is_some_and(|image| image.starts_with("Image=web:latest sha256:")),
            "{texts:?}"
        );
    }
}
