//! `labd`, the lab's program on every node: it prepares the node before systemd starts, and then tells how
//! the node is.

#[cfg(target_os = "linux")]
mod linux {
    use std::convert::Infallible;
    use std::process::ExitCode;
    use std::time::Duration;

    use anyhow::Context;
    use lab::node;

    const USAGE: &str =
        "usage: labd init | seed | network | serve | health | await ROLE [--limit SECONDS] | fill | version";

    #[expect(clippy::print_stderr, clippy::print_stdout, reason = "this is where labd talks")]
    pub(super) fn main() -> ExitCode {
        let words: Vec<String> = std::env::args().collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let program = words.first().map_or("", |path| path.rsplit('/').next().unwrap_or(path));
        if program == "fleetctl" {
            return fleetctl(&words[1..]);
        }
        let result = match words[1..] {
            ["init"] => init().map(|never| match never {}),
            ["seed"] => block_on(seed()).map(|()| None),
            ["network"] => block_on(network()).map(|()| None),
            ["serve"] => block_on(serve()).map(|()| None),
            ["health"] => block_on(health()).map(Some),
            ["await", role] => block_on(await_role(role, None)).map(|()| None),
            ["await", role, "--limit", seconds] if seconds.parse::<u64>().is_ok() => {
                let limit = seconds.parse().ok().map(Duration::from_secs);
                block_on(await_role(role, limit)).map(|()| None)
            }
            ["fill"] => block_on(fill()).map(|()| None),
            ["version"] => Ok(Some(format!("labd {}", env!("CARGO_PKG_VERSION")))),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        };
        match result {
            Ok(said) => {
                if let Some(text) = said {
                    println!("{text}");
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("labd: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    /// What clients of fleet run on nodes goes by this name.
    #[expect(clippy::print_stderr, clippy::print_stdout, reason = "this is where fleetctl talks")]
    fn fleetctl(words: &[&str]) -> ExitCode {
        match block_on(async { Ok(node::fleetctl(words).await?) }) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        }
    }

    #[expect(clippy::print_stderr, reason = "it lands in the machine's console")]
    fn init() -> anyhow::Result<Infallible> {
        eprintln!("labd: preparing this node; then systemd takes over, which logs to the journal");
        let (seed, layers) = (variable("LAB_SEED"), variable("LAB_LAYERS"));
        if let Some(trouble) = node::link_shared_images(layers.as_deref()) {
            eprintln!("labd: images will be loaded, as the shared ones cannot be used: {trouble}");
        }
        Ok(node::init(seed.as_deref())?)
    }

    async fn seed() -> anyhow::Result<()> {
        let text = std::io::read_to_string(std::io::stdin()).context("could not read the seed")?;
        Ok(node::seed(&text).await?)
    }

    async fn network() -> anyhow::Result<()> {
        Ok(node::network().await?)
    }

    async fn serve() -> anyhow::Result<()> {
        // systemd adds the time and keeps what is written here.
        tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_ansi(false).init();
        Ok(node::serve(variable("NOTIFY_SOCKET").as_deref()).await?)
    }

    async fn health() -> anyhow::Result<String> {
        Ok(node::health().await?)
    }

    #[expect(clippy::print_stdout, reason = "it lands in the journal of the unit that waits")]
    async fn await_role(role: &str, limit: Option<Duration>) -> anyhow::Result<()> {
        Ok(node::await_role(role, limit, |news| println!("{news}")).await?)
    }

    /// Prints what happens as a JSON object a line.
    #[expect(clippy::print_stdout, reason = "this is where labd talks")]
    async fn fill() -> anyhow::Result<()> {
        let images = variable("LAB_LAYERS").context("LAB_LAYERS is not set")?;
        let tell = |event: &_| println!("{}", serde_json::to_string(event).unwrap_or_default());
        Ok(node::fill(&images, tell).await?)
    }

    /// One thread is enough for a few requests a second, and keeps labd small.
    fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("could not start")?;
        let result = runtime.block_on(work);
        // A read of standard input may still be under way; it is not waited for.
        runtime.shutdown_background();
        result
    }

    #[expect(clippy::disallowed_methods, reason = "how Docker and systemd speak to this program")]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::print_stderr, reason = "this is where labd talks")]
fn main() -> std::process::ExitCode {
    eprintln!("labd: nodes run Linux");
    std::process::ExitCode::FAILURE
}
