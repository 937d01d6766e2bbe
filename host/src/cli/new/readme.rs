//! The README of a new project: what it is, and the two commands.

use super::language::Language;
use super::project::Kind;

/// The text of a project's README.
pub(super) fn readme(language: Language, kind: Kind, name: &str) -> String {
    let about = match kind {
        Kind::Script => "It plays one virtual user: squall runs many of them at once.",
        Kind::Recorder => "It turns what happens in a run into log entries.",
    };
    let more = match kind {
        Kind::Script => format!(
            "\
With load, and judged (exit code 99 if the threshold does not hold):

```sh
squall run {component} --base-url http://127.0.0.1:8080 \\
    --vus 50 --duration 30s --threshold 'http_req_duration: p(95) < 200'
```
",
            component = language.component(name),
        ),
        Kind::Recorder => format!(
            "\
In a run, beside the recorder `json`:

```sh
squall run SCRIPT.wasm --duration 30s --recorder json --recorder ./{component}
```
",
            component = language.component(name),
        ),
    };
    format!(
        "\
# {name}

A {kind} for Squall, in {language}. {about}
It stands in `{source}`: start there. To build it, and to see it at work:

```sh
{build}
{run}
```

{needs}

{more}
`wit/` says what a {kind} may call and what it has to provide; the comments in it are the
reference. `squall inspect {component}` shows what was built.
",
        source = language.source(kind),
        build = language.build_command(),
        run = run_command(language, kind, name),
        needs = language.needs(),
        component = language.component(name),
    )
}

/// The command that shows the component at work.
pub(super) fn run_command(language: Language, kind: Kind, name: &str) -> String {
    let component = language.component(name);
    match kind {
        Kind::Script => format!("squall run {component} --base-url http://127.0.0.1:8080"),
        Kind::Recorder => format!("squall recorder test {component}"),
    }
}
