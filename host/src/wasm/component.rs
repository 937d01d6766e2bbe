//! What a component is, and why one cannot be run.
//!
//! Between a file and the engines: [`load_script`], [`load_recorder`] and
//! [`load_shape`] read a component for a run and refuse what could not be
//! instantiated, in words that name the import or version at fault; [`inspect`]
//! tells everything about a component. Nothing is compiled or instantiated here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use wasmparser::component_types::ComponentEntityType;
use wasmparser::{Encoding, Parser, Payload, Validator};

use crate::error::{Error, Problem};

/// The version of `squall:script` that this program provides.
pub const SCRIPT_VERSION: &str = "0.1.0";

/// The version of `squall:recorder` that this program provides.
pub const RECORDER_VERSION: &str = "0.1.0";

/// The version of `squall:shape` that this program provides.
pub const SHAPE_VERSION: &str = "0.1.0";

/// The interfaces of `squall:script` that a script may import.
const SCRIPT_IMPORTS: [&str; 7] = [
    "data",
    "execution",
    "http",
    "log",
    "metrics",
    "random",
    "timing",
];

/// The interfaces of `squall:recorder` that a recorder may import.
const RECORDER_IMPORTS: [&str; 1] = ["events"];

/// What is provided of WASI 0.2, by package: everything that a language's
/// standard library asks for. What can be reached through it is another matter.
const WASI_IMPORTS: [(&str, &[&str]); 6] = [
    (
        "cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
    ),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("filesystem", &["preopens", "types"]),
    ("io", &["error", "poll", "streams"]),
    ("random", &["insecure", "insecure-seed", "random"]),
    (
        "sockets",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

/// What scripts may import of `wasi:http`: their requests are sent and measured
/// like those of `squall:script/http`.
const SCRIPT_HTTP: [&str; 2] = ["outgoing-handler", "types"];

/// The version of WASI whose interfaces are provided.
const WASI_VERSION: &str = "0.2.0";

/// A component that can be handed to an engine.
#[derive(Debug, Clone)]
pub struct LoadedComponent {
    /// The name of its file, without folder and extension.
    pub name: String,
    /// The component itself.
    pub bytes: Cow<'static, [u8]>,
    /// What it is: a script from [`load_script`], a recorder from
    /// [`load_recorder`], a shape from [`load_shape`].
    pub kind: Kind,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A part of the program.
    Embedded {
        /// Its name.
        name: &'static str,
        /// The component.
        bytes: &'static [u8],
    },
}

impl Source {
    /// The name of the file without folder and extension, or of the part.
    pub fn name(&self) -> String {
        match self {
            Self::Embedded { name, .. } => (*name).to_owned(),
            Self::File(path) => path.file_stem().map_or_else(
                || path.display().to_string(),
                |stem| stem.to_string_lossy().into_owned(),
            ),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Embedded { name, .. } => f.write_str(name),
        }
    }
}

/// What a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A script.
    Script {
        /// The version of `squall:script` it was built for.
        version: String,
        /// Whether it has hooks around its iterations.
        lifecycle: bool,
        /// Whether it brings default options.
        options: bool,
    },
    /// A recorder.
    Recorder {
        /// The version of `squall:recorder` it was built for.
        version: String,
    },
    /// A shape.
    Shape {
        /// The version of `squall:shape` it was built for.
        version: String,
    },
    /// None of them.
    Neither,
}

impl Kind {
    /// What it is, if it is one of ours.
    fn ours(&self) -> Option<Wanted> {
        match self {
            Self::Script { .. } => Some(Wanted::Script),
            Self::Recorder { .. } => Some(Wanted::Recorder),
            Self::Shape { .. } => Some(Wanted::Shape),
            Self::Neither => None,
        }
    }
}

/// All there is to know about a component without running it.
#[derive(Debug, Clone)]
pub struct Description {
    /// What it is.
    pub kind: Kind,
    /// What it imports, without WASI.
    pub imports: Vec<Item>,
    /// What it exports.
    pub exports: Vec<Item>,
    /// What it imports of WASI: packages with their version, and the
    /// interfaces of each.
    pub wasi: BTreeMap<String, Vec<String>>,
    /// The size of the file.
    pub size_bytes: u64,
    /// The language it was written in, with the tool that built it, as far as
    /// its producers tell.
    pub language_hint: Option<String>,
    /// Why it cannot be run: each begins with a verb, as if after the
    /// component's name. Empty if it can be.
    pub refusals: Vec<Problem>,
}

/// An import or an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The name, with its version if it is an interface.
    pub name: String,
    /// The functions of the interface; the name itself for a function.
    pub functions: Vec<String>,
}

/// Reads a script for a run.
///
/// # Errors
///
/// If the file cannot be read, is not a component, is not a script, was built
/// for a version that is not understood, or imports what is not provided.
pub fn load_script(source: &Source) -> Result<LoadedComponent, Error> {
    load(source, Wanted::Script)
}

/// Reads a recorder for a run.
///
/// # Errors
///
/// If the file cannot be read, is not a component, is not a recorder, was
/// built for a version that is not understood, or imports what is not
/// provided.
pub fn load_recorder(source: &Source) -> Result<LoadedComponent, Error> {
    load(source, Wanted::Recorder)
}

/// Reads a shape for a run.
///
/// # Errors
///
/// If the file cannot be read, is not a component, is not a shape, was built for
/// a version that is not understood, or imports what is not provided.
pub fn load_shape(source: &Source) -> Result<LoadedComponent, Error> {
    load(source, Wanted::Shape)
}

/// Tells everything about the component in a file. Validates all of it, which
/// takes some ten milliseconds a megabyte.
///
/// # Errors
///
/// If the file cannot be read or is not a component; what else speaks against
/// running it is among the refusals.
pub fn inspect(path: &Path) -> Result<Description, Problem> {
    let bytes = read(path)?;
    describe(&bytes).map_err(|problem| about(&path.display(), problem))
}

/// The error for a component that was loaded, but that the engine refuses.
pub fn refused_by_engine(name: &str, error: &wasmtime::Error) -> Error {
    Error::Component(
        Problem::new(format!("`{name}` is not a valid component: {error:#}"))
            .hint("build it again with current tools; `squall inspect` tells what it is"),
    )
}

/// What a component was given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Script,
    Recorder,
    Shape,
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Recorder => "recorder",
            Self::Shape => "shape",
        }
    }

    /// What it is known by.
    fn interface(self) -> &'static str {
        match self {
            Self::Script => "squall:script/user@0.1.0",
            Self::Recorder => "squall:recorder/event-handler@0.1.0",
            Self::Shape => "squall:shape/load-shape@0.1.0",
        }
    }

    /// How it is passed to squall.
    fn way(self) -> &'static str {
        match self {
            Self::Script => "run it with `squall run`",
            Self::Recorder => "pass it to `squall run` with `--recorder`",
            Self::Shape => "pass it to `squall run` with `--shape`",
        }
    }
}

fn load(source: &Source, wanted: Wanted) -> Result<LoadedComponent, Error> {
    let bytes = match source {
        Source::File(path) => Cow::Owned(read(path).map_err(Error::Component)?),
        Source::Embedded { bytes, .. } => Cow::Borrowed(*bytes),
    };
    let refuse = |problem| Error::Component(about(source, problem));
    let outline = Outline::of(&bytes).map_err(refuse)?;
    let kind = outline.kind();
    match kind.ours() {
        Some(ours) if ours == wanted => {}
        Some(ours) => {
            let (is, no) = (ours.name(), wanted.name());
            return Err(refuse(
                Problem::new(format!("is a {is}, not a {no}")).hint(ours.way()),
            ));
        }
        None => return Err(refuse(outline.not_ours(wanted))),
    }
    let mut refusals = outline.refusals(&kind).into_iter();
    if let Some(mut first) = refusals.next() {
        for other in refusals {
            first.what.push_str("; it ");
            first.what.push_str(&other.what);
            first.hint = first.hint.or(other.hint);
        }
        return Err(refuse(first));
    }
    Ok(LoadedComponent {
        name: source.name(),
        bytes,
        kind,
    })
}

/// Puts the component's name before a problem that begins with a verb.
fn about(source: &dyn fmt::Display, problem: Problem) -> Problem {
    Problem {
        what: format!("`{source}` {}", problem.what),
        hint: problem.hint,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    if path.is_dir() {
        return Err(
            Problem::new(format!("`{}` is a folder, not a component", path.display()))
                .hint("name the `.wasm` file that was built"),
        );
    }
    fs::read(path).map_err(|error| {
        let problem = Problem::new(format!("cannot read `{}`: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::NotFound => problem.hint(
                "check the path; `cargo` puts components into `target/wasm32-wasip2/release`",
            ),
            _ => problem,
        }
    })
}

fn describe(bytes: &[u8]) -> Result<Description, Problem> {
    let outline = Outline::of(bytes)?;
    let kind = outline.kind();
    let mut refusals = match kind {
        Kind::Neither => vec![outline.not_ours(Wanted::Script)],
        _ => outline.refusals(&kind),
    };
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    match Validator::new().validate_all(bytes) {
        Ok(types) => {
            let types = types.as_ref();
            let functions = |name: &str, ty: Option<ComponentEntityType>| match ty {
                Some(ComponentEntityType::Instance(id)) => types[id]
                    .exports
                    .iter()
                    .filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)))
                    .map(|(name, _)| name.clone())
                    .collect(),
                Some(ComponentEntityType::Func(_)) => vec![name.to_owned()],
                _ => Vec::new(),
            };
            for name in &outline.imports {
                let item = types.component_item_for_import(name);
                imports.push(Item {
                    name: name.clone(),
                    functions: functions(name, item.map(|item| item.ty)),
                });
            }
            for name in &outline.exports {
                let item = types.component_item_for_export(name);
                exports.push(Item {
                    name: name.clone(),
                    functions: functions(name, item.map(|item| item.ty)),
                });
            }
        }
        Err(error) => refusals.push(
            Problem::new(format!("is not a valid component: {error}"))
                .hint("build it again with current tools"),
        ),
    }
    let mut wasi = BTreeMap::<_, Vec<_>>::new();
    for name in &outline.imports {
        if let Some(interface) = Interface::parse(name)
            && interface.namespace == "wasi"
        {
            wasi.entry(interface.package_and_version())
                .or_default()
                .push(interface.name.to_owned());
        }
    }
    imports.retain(|item| !item.name.starts_with("wasi:"));
    Ok(Description {
        kind,
        imports,
        exports,
        wasi,
        size_bytes: bytes.len() as u64,
        language_hint: outline.language(),
        refusals,
    })
}

/// The names of an interface: `namespace:package/name@version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interface<'a> {
    namespace: &'a str,
    package: &'a str,
    name: &'a str,
    /// Empty if there is none.
    version: &'a str,
}

impl<'a> Interface<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = text.split_once('@').unwrap_or((text, ""));
        let (namespace, rest) = path.split_once(':')?;
        let (package, name) = rest.split_once('/')?;
        Some(Self {
            namespace,
            package,
            name,
            version,
        })
    }

    fn is(&self, namespace: &str, package: &str) -> bool {
        self.namespace == namespace && self.package == package
    }

    fn package_and_version(&self) -> String {
        let Self {
            namespace,
            package,
            version,
            ..
        } = self;
        if version.is_empty() {
            format!("{namespace}:{package}")
        } else {
            format!("{namespace}:{package}@{version}")
        }
    }
}

/// The part of a version that compatible versions have in common, by the rule
/// of wasmtime's linker: the major number, or below 1.0.0 the minor one; a
/// version below 0.1.0 or before its release is compatible with itself only.
fn track(version: &str) -> &str {
    if version.contains('-') {
        return version;
    }
    let mut dots = version.match_indices('.').map(|(at, _)| at);
    let (first, second) = (dots.next(), dots.next());
    match (version.split('.').next(), first, second) {
        (Some("0"), Some(first), Some(second)) if &version[first + 1..second] != "0" => {
            &version[..second]
        }
        (Some("0"), ..) | (_, None, _) => version,
        (_, Some(first), _) => &version[..first],
    }
}

/// What the sections of a component tell without reading its code.
#[derive(Debug, Default)]
struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    /// Field, name and version, of the component and the modules inside.
    producers: Vec<(String, String, String)>,
}

impl Outline {
    fn of(bytes: &[u8]) -> Result<Self, Problem> {
        check_preamble(bytes)?;
        let mut outline = Self::default();
        let mut parents = Vec::new();
        let mut parser = Parser::new(0);
        let mut left = bytes;
        loop {
            let payload = match parser.parse(left, true).map_err(|error| damaged(&error))? {
                wasmparser::Chunk::NeedMoreData(_) => return Err(cut_short()),
                wasmparser::Chunk::Parsed { payload, consumed } => {
                    left = &left[consumed..];
                    payload
                }
            };
            let outermost = parents.is_empty();
            match payload {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } if outermost => return Err(core_module(bytes)),
                Payload::ModuleSection { parser: inner, .. }
                | Payload::ComponentSection { parser: inner, .. } => {
                    parents.push(std::mem::replace(&mut parser, inner));
                }
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    left = left.get(size as usize..).ok_or_else(cut_short)?;
                }
                Payload::ComponentImportSection(section) if outermost => {
                    for import in section {
                        let import = import.map_err(|error| damaged(&error))?;
                        outline.imports.push(import.name.full_name().into_owned());
                    }
                }
                Payload::ComponentExportSection(section) if outermost => {
                    for export in section {
                        let export = export.map_err(|error| damaged(&error))?;
                        outline.exports.push(export.name.full_name().into_owned());
                    }
                }
                Payload::CustomSection(section) => {
                    if let wasmparser::KnownCustom::Producers(fields) = section.as_known() {
                        outline.add_producers(fields);
                    }
                }
                Payload::End(_) => match parents.pop() {
                    Some(parent) => parser = parent,
                    None => return Ok(outline),
                },
                _ => {}
            }
        }
    }

    /// Takes what can be read: the section is a remark, and may be anything.
    fn add_producers(&mut self, fields: wasmparser::ProducersSectionReader<'_>) {
        for field in fields.into_iter().map_while(Result::ok) {
            for value in field.values.into_iter().map_while(Result::ok) {
                self.producers.push((
                    field.name.to_owned(),
                    value.name.to_owned(),
                    value.version.to_owned(),
                ));
            }
        }
    }

    fn kind(&self) -> Kind {
        let exported = |package, name| {
            self.exports
                .iter()
                .filter_map(|export| Interface::parse(export))
                .find(|export| export.is("squall", package) && export.name == name)
        };
        if let Some(user) = exported("script", "user") {
            return Kind::Script {
                version: user.version.to_owned(),
                lifecycle: exported("script", "lifecycle").is_some(),
                options: exported("script", "options").is_some(),
            };
        }
        if let Some(handler) = exported("recorder", "event-handler") {
            return Kind::Recorder {
                version: handler.version.to_owned(),
            };
        }
        match exported("shape", "load-shape") {
            Some(shape) => Kind::Shape {
                version: shape.version.to_owned(),
            },
            None => Kind::Neither,
        }
    }

    /// Why a component of neither kind is not what was wanted.
    fn not_ours(&self, wanted: Wanted) -> Problem {
        let exports = |package: &str, name: &str| {
            self.exports
                .iter()
                .filter_map(|export| Interface::parse(export))
                .any(|export| export.is("wasi", package) && export.name == name)
        };
        let (what, interface) = (wanted.name(), wanted.interface());
        if exports("cli", "run") {
            return Problem::new(format!("is a program with a `main`, not a {what}"))
                .hint(format!("build it as a library that exports `{interface}`"));
        }
        if exports("http", "incoming-handler") {
            return Problem::new(format!("is an HTTP server, not a {what}"))
                .hint(format!("a {what} exports `{interface}`"));
        }
        let found = match &*self.exports {
            [] => "it exports nothing".to_owned(),
            [only] => format!("it exports `{only}`"),
            [first, others @ ..] => format!("it exports `{first}` and {} more", others.len()),
        };
        Problem::new(format!("is not a squall {what}: {found}"))
            .hint(format!("a {what} exports `{interface}`"))
    }

    /// Why a component cannot be run as what it is.
    fn refusals(&self, kind: &Kind) -> Vec<Problem> {
        let (package, ours, version, known): (_, _, _, &[&str]) = match kind {
            Kind::Script { version, .. } => ("script", SCRIPT_VERSION, version, &SCRIPT_IMPORTS),
            Kind::Recorder { version } => {
                ("recorder", RECORDER_VERSION, version, &RECORDER_IMPORTS)
            }
            Kind::Shape { version } => ("shape", SHAPE_VERSION, version, &[]),
            Kind::Neither => return Vec::new(),
        };
        if track(version) != track(ours) {
            return vec![other_version(package, ours, version)];
        }
        let mut refusals = Vec::new();
        for name in &self.imports {
            let refusal = match Interface::parse(name) {
                Some(import) if import.is("squall", package) => {
                    if track(import.version) != track(ours) {
                        // Said once: it holds for each import of the package.
                        let refusal = other_version(package, ours, import.version);
                        (!refusals.contains(&refusal)).then_some(refusal)
                    } else if known.contains(&import.name) {
                        None
                    } else {
                        Some(
                            Problem::new(format!(
                                "imports `{name}`, which this squall with \
                                 `squall:{package}@{ours}` does not have"
                            ))
                            .hint("a newer squall may have it"),
                        )
                    }
                }
                Some(import) if import.namespace == "wasi" => wasi_refusal(name, import, kind),
                Some(import) if import.is("squall", "script") => Some(
                    Problem::new(format!("imports `{name}`, which {package}s cannot use")).hint(
                        match kind {
                            Kind::Shape { .. } => "a shape says how much load there is, no more",
                            _ => "a recorder receives events and returns log entries, no more",
                        },
                    ),
                ),
                _ => Some(
                    Problem::new(format!("imports `{name}`, which squall does not provide")).hint(
                        format!(
                            "squall provides `squall:{package}@{ours}` and WASI 0.2; compose the \
                             component with one that exports `{name}`, or build it without"
                        ),
                    ),
                ),
            };
            refusals.extend(refusal);
        }
        refusals
    }

    /// The language, by the tool that made the component, or else by the
    /// compiler's language. Interpreters are compiled from languages that are
    /// not the author's, so tools come first.
    fn language(&self) -> Option<String> {
        const TOOLS: [(&str, &str); 7] = [
            ("componentize-py", "Python"),
            ("componentize-qjs", "JavaScript"),
            ("componentize-js", "JavaScript"),
            ("componentizejs", "JavaScript"),
            ("jco", "JavaScript"),
            ("tinygo", "Go"),
            ("go", "Go"),
        ];
        for (_, tool, version) in &self.producers {
            let lower = tool.to_ascii_lowercase();
            if let Some((_, language)) = TOOLS.iter().find(|(name, _)| *name == lower) {
                return Some(named(language, tool, version));
            }
        }
        let languages = || {
            self.producers
                .iter()
                .filter(|(field, ..)| field == "language")
                .map(|(_, name, _)| &**name)
        };
        let compiler = |name: &str| {
            self.producers
                .iter()
                .find(|(field, tool, _)| field == "processed-by" && tool.starts_with(name))
                .map(|(_, tool, version)| (tool, version.split(' ').next().unwrap_or_default()))
        };
        // Rust's standard library brings some C, but not the other way round.
        let language = languages()
            .find(|name| *name == "Rust")
            .or_else(|| languages().find(|name| name.starts_with("C_plus_plus")))
            .or_else(|| languages().next())?;
        let (language, tool) = match language {
            "Rust" => ("Rust", compiler("rustc")),
            name if name.starts_with("C_plus_plus") => ("C++", compiler("clang")),
            name if name.starts_with('C') && name[1..].bytes().all(|b| b.is_ascii_digit()) => {
                ("C", compiler("clang"))
            }
            name => (name, None),
        };
        Some(match tool {
            Some((tool, version)) => named(language, tool, version),
            None => language.to_owned(),
        })
    }
}

fn named(language: &str, tool: &str, version: &str) -> String {
    match version {
        "" => format!("{language} ({tool})"),
        version => format!("{language} ({tool} {version})"),
    }
}

fn other_version(package: &str, ours: &str, theirs: &str) -> Problem {
    let theirs = match theirs {
        "" => format!("squall:{package}"),
        version => format!("squall:{package}@{version}"),
    };
    Problem::new(format!(
        "was built for `{theirs}`; this squall runs `squall:{package}@{}`",
        track(ours)
    ))
    .hint(format!(
        "build it for `squall:{package}@{ours}`, or use the squall it was built for"
    ))
}

fn wasi_refusal(name: &str, import: Interface<'_>, kind: &Kind) -> Option<Problem> {
    if track(import.version) != track(WASI_VERSION) {
        return Some(
            Problem::new(format!(
                "imports `{name}`, but squall provides WASI {}",
                track(WASI_VERSION)
            ))
            .hint("build it for WASI 0.2 (in Rust: `--target wasm32-wasip2`)"),
        );
    }
    let provided = WASI_IMPORTS
        .iter()
        .any(|(package, names)| *package == import.package && names.contains(&import.name));
    let is_script = matches!(kind, Kind::Script { .. });
    let sends = is_script && import.package == "http" && SCRIPT_HTTP.contains(&import.name);
    if provided || sends {
        return None;
    }
    let problem = Problem::new(format!("imports `{name}`, which squall does not provide"));
    Some(match import.package {
        "http" if is_script => problem.hint(
            "a script sends requests with `squall:script/http` or `wasi:http/outgoing-handler`",
        ),
        "http" => problem.hint("only scripts send requests"),
        _ => problem.hint("squall provides `wasi:cli`, `clocks`, `filesystem`, `io`, `random` and `sockets`, of which only output, clocks and random numbers work"),
    })
}

/// Checks that the bytes begin as a WebAssembly binary.
fn check_preamble(bytes: &[u8]) -> Result<(), Problem> {
    const MAGIC: &[u8] = b"\0asm";
    if bytes.is_empty() {
        return Err(Problem::new("is empty, not a component").hint("did its build fail?"));
    }
    if bytes.len() < 8 && (bytes.starts_with(MAGIC) || MAGIC.starts_with(bytes)) {
        return Err(cut_short());
    }
    if bytes.starts_with(MAGIC) {
        return Ok(());
    }
    let build = "a script is a component: build it to a `.wasm` file first";
    let Ok(text) = std::str::from_utf8(&bytes[..bytes.len().min(4096)]).or_else(|error| {
        // The cut may fall inside a character.
        match error.error_len() {
            None => Ok(""),
            Some(_) => Err(error),
        }
    }) else {
        return Err(match bytes {
            [0x7f, b'E', b'L', b'F', ..] => {
                Problem::new("is a program for this machine, not WebAssembly").hint(build)
            }
            [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Problem::new("is an archive, not WebAssembly").hint("unpack it first")
            }
            _ => Problem::new("is not WebAssembly").hint(build),
        });
    };
    let text = text.trim_start();
    Err(
        if text.starts_with("(component") || text.starts_with("(module") {
            Problem::new("is WebAssembly in its text form, not a binary")
                .hint("translate it with `wasm-tools parse FILE -o FILE.wasm`")
        } else if text.starts_with("version https://git-lfs") {
            Problem::new("is a pointer of Git LFS, not the file itself")
                .hint("fetch the file with `git lfs pull`")
        } else {
            Problem::new("is text, not WebAssembly").hint(build)
        },
    )
}

/// The problem with a core module, by what was left to do with it.
fn core_module(bytes: &[u8]) -> Problem {
    let (mut has_types, mut preview1) = (false, false);
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::CustomSection(section) => {
                has_types |= section.name().starts_with("component-type");
            }
            Payload::ImportSection(section) => {
                preview1 |= section
                    .into_imports()
                    .map_while(Result::ok)
                    .any(|import| import.module.starts_with("wasi_snapshot_preview1"));
            }
            _ => {}
        }
    }
    let problem = Problem::new("is a core module, not a component");
    match (has_types, preview1) {
        (true, false) => problem
            .hint("make it one with `wasm-tools component new MODULE.wasm -o COMPONENT.wasm`"),
        (true, true) => problem.hint(
            "make it one with `wasm-tools component new MODULE.wasm --adapt \
             wasi_snapshot_preview1.reactor.wasm -o COMPONENT.wasm`",
        ),
        (false, _) => problem.hint(
            "in Rust, build with `--target wasm32-wasip2`; other languages have a tool such as \
             `componentize-js` or `componentize-py`",
        ),
    }
}

fn cut_short() -> Problem {
    Problem::new("ends in the middle: it is no complete component")
        .hint("build or copy it again; check that the disk is not full")
}

fn damaged(error: &wasmparser::BinaryReaderError) -> Problem {
    if error.message().contains("unexpected end") {
        return cut_short();
    }
    Problem::new(format!("is damaged, or not a component: {error}")).hint("build or copy it again")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A component that imports and exports interfaces of these names, all of
    /// them empty.
    pub(crate) fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
        fn section(id: u8, count: usize, items: &[u8]) -> Vec<u8> {
            let mut content = leb(count);
            content.extend_from_slice(items);
            let mut bytes = vec![id];
            bytes.extend(leb(content.len()));
            bytes.extend(content);
            bytes
        }
        fn leb(mut value: usize) -> Vec<u8> {
            let mut bytes = Vec::new();
            loop {
                let low = (value & 0x7f) as u8;
                value >>= 7;
                if value == 0 {
                    bytes.push(low);
                    return bytes;
                }
                bytes.push(low | 0x80);
            }
        }
        fn name(text: &str) -> Vec<u8> {
            let mut bytes = vec![0];
            bytes.extend(leb(text.len()));
            bytes.extend(text.as_bytes());
            bytes
        }
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        // Type 0: an instance without exports.
        bytes.extend(section(7, 1, &[0x42, 0]));
        let list: Vec<u8> = imports
            .iter()
            .flat_map(|import| [name(import), vec![5, 0]].concat())
            .collect();
        bytes.extend(section(10, imports.len(), &list));
        // The instance after the imported ones: made of no exports.
        bytes.extend(section(5, 1, &[1, 0]));
        let list: Vec<u8> = exports
            .iter()
            .flat_map(|export| [name(export), vec![5], leb(imports.len()), vec![0]].concat())
            .collect();
        bytes.extend(section(11, exports.len(), &list));
        bytes
    }

    const USER: &str = "squall:script/user@0.1.0";
    const HANDLER: &str = "squall:recorder/event-handler@0.1.0";
    const SHAPE: &str = "squall:shape/load-shape@0.1.0";

    fn script(bytes: Vec<u8>) -> Result<LoadedComponent, String> {
        load_from(bytes, load_script)
    }

    fn load_from(
        bytes: Vec<u8>,
        load: fn(&Source) -> Result<LoadedComponent, Error>,
    ) -> Result<LoadedComponent, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.wasm");
        fs::write(&path, bytes).expect("written");
        let prefix = format!("`{}` ", path.display());
        load(&Source::File(path)).map_err(|error| error.to_string().replace(&prefix, ""))
    }

    fn refusal(bytes: Vec<u8>) -> String {
        let text = script(bytes).expect_err("refused");
        text.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_script_is_known_by_its_exports() {
        let bytes = component(
            &["squall:script/http@0.1.0", "wasi:cli/stdout@0.2.6"],
            &[USER, "squall:script/lifecycle@0.1.0"],
        );
        let loaded = script(bytes).expect("loads");
        assert_eq!(loaded.name, "x");
        assert_eq!(
            loaded.kind,
            Kind::Script {
                version: "0.1.0".to_owned(),
                lifecycle: true,
                options: false
            }
        );
    }

    #[test]
    fn the_made_up_components_are_valid() {
        let bytes = component(&["squall:script/http@0.1.0"], &[USER]);
        assert!(describe(&bytes).expect("a component").refusals.is_empty());
    }

    #[test]
    fn later_patches_of_our_version_are_understood() {
        let bytes = component(&["squall:script/http@0.1.7"], &["squall:script/user@0.1.7"]);
        assert!(script(bytes).is_ok());
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        assert_eq!(
            refusal(component(
                &["squall:script/http@0.9.0"],
                &["squall:script/user@0.9.0"]
            )),
            "was built for `squall:script@0.9.0`; this squall runs `squall:script@0.1`"
        );
        let mixed = component(
            &["squall:script/http@0.2.0", "squall:script/timing@0.2.0"],
            &[USER],
        );
        assert_eq!(
            refusal(mixed),
            "was built for `squall:script@0.2.0`; this squall runs `squall:script@0.1`"
        );
    }

    #[test]
    fn imports_that_are_not_provided_are_refused_by_name() {
        for (import, words) in [
            (
                "acme:secrets/vault@1.0.0",
                "imports `acme:secrets/vault@1.0.0`, which squall does not provide",
            ),
            (
                "squall:script/sockets@0.1.0",
                "imports `squall:script/sockets@0.1.0`, which this squall with \
                 `squall:script@0.1.0` does not have",
            ),
            (
                "wasi:http/incoming-handler@0.2.6",
                "imports `wasi:http/incoming-handler@0.2.6`, which squall does not provide",
            ),
            (
                "wasi:cli/stdout@0.3.0",
                "imports `wasi:cli/stdout@0.3.0`, but squall provides WASI 0.2",
            ),
            ("plain", "imports `plain`, which squall does not provide"),
        ] {
            assert_eq!(refusal(component(&[import], &[USER])), words);
        }
        assert_eq!(
            refusal(component(&["acme:a/b@1.0.0", "acme:c/d@1.0.0"], &[USER])),
            "imports `acme:a/b@1.0.0`, which squall does not provide; it imports \
             `acme:c/d@1.0.0`, which squall does not provide"
        );
    }

    #[test]
    fn only_scripts_send_requests_by_wasi_http() {
        let sends = ["wasi:http/types@0.2.4", "wasi:http/outgoing-handler@0.2.4"];
        assert!(script(component(&sends, &[USER])).is_ok());
        let error = load_from(component(&sends, &[HANDLER]), load_recorder).expect_err("refused");
        assert!(error.contains("`wasi:http/types@0.2.4`"), "{error}");
    }

    #[test]
    fn scripts_recorders_and_shapes_are_not_mixed_up() {
        assert_eq!(
            refusal(component(&[], &[HANDLER])),
            "is a recorder, not a script"
        );
        let error = load_from(component(&[], &[USER]), load_recorder).expect_err("refused");
        assert!(error.starts_with("is a script, not a recorder"), "{error}");
        assert!(load_from(component(&[], &[HANDLER]), load_recorder).is_ok());
        let error = load_from(
            component(&["squall:script/http@0.1.0"], &[HANDLER]),
            load_recorder,
        )
        .expect_err("refused");
        assert!(error.contains("which recorders cannot use"), "{error}");
        assert_eq!(
            refusal(component(&[], &[SHAPE])),
            "is a shape, not a script"
        );
        let error = load_from(component(&[], &[USER]), load_shape).expect_err("refused");
        assert!(error.starts_with("is a script, not a shape"), "{error}");
        assert!(load_from(component(&[], &[SHAPE]), load_shape).is_ok());
        let other = component(&[], &["squall:shape/load-shape@0.3.0"]);
        let error = load_from(other, load_shape).expect_err("refused");
        assert!(
            error.contains("was built for `squall:shape@0.3.0`"),
            "{error}"
        );
        let error = load_from(
            component(&["squall:script/http@0.1.0"], &[SHAPE]),
            load_shape,
        )
        .expect_err("refused");
        assert!(error.contains("which shapes cannot use"), "{error}");
    }

    #[test]
    fn other_components_are_neither() {
        for (exports, words) in [
            (&[][..], "is not a squall script: it exports nothing"),
            (
                &["acme:tool/greeter@1.0.0"],
                "is not a squall script: it exports `acme:tool/greeter@1.0.0`",
            ),
            (
                &["wasi:cli/run@0.2.6"],
                "is a program with a `main`, not a script",
            ),
        ] {
            assert_eq!(refusal(component(&[], exports)), words);
        }
    }

    #[test]
    fn what_is_no_component_is_said_in_plain_words() {
        for (bytes, words) in [
            (&b""[..], "is empty, not a component"),
            (b"\0asm\x01\0\0\0", "is a core module, not a component"),
            (b"\0as", "ends in the middle: it is no complete component"),
            (b"fn main() {}", "is text, not WebAssembly"),
            (
                b"  (module)",
                "is WebAssembly in its text form, not a binary",
            ),
            (
                b"\x7fELF\x02\x01\x01\xff\xff\xff",
                "is a program for this machine, not WebAssembly",
            ),
            (b"\xff\xfe\x00\x01\x02\x03\x04\x05", "is not WebAssembly"),
        ] {
            assert_eq!(refusal(bytes.to_vec()), words);
        }
        let error = load_script(&Source::File("missing/x.wasm".into())).expect_err("refused");
        assert!(
            error
                .to_string()
                .starts_with("cannot read `missing/x.wasm`: "),
            "{error}"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let error = inspect(folder.path()).expect_err("refused");
        assert!(error.what.contains("is a folder"), "{error}");
    }

    #[test]
    fn a_component_cut_anywhere_is_never_taken_for_a_script() {
        let whole = component(&["squall:script/http@0.1.0"], &[USER]);
        for end in 0..whole.len() {
            assert!(script(whole[..end].to_vec()).is_err(), "cut at {end}");
        }
        // Cut in the middle of a section, the words say so.
        assert_eq!(
            refusal(whole[..whole.len() - 3].to_vec()),
            "ends in the middle: it is no complete component"
        );
    }

    #[test]
    fn descriptions_group_wasi_and_keep_the_rest() {
        let bytes = component(
            &[
                "squall:script/http@0.1.0",
                "wasi:io/poll@0.2.6",
                "wasi:io/streams@0.2.6",
                "acme:secrets/vault@1.0.0",
            ],
            &[USER],
        );
        let found = describe(&bytes).expect("a component");
        let names: Vec<_> = found.imports.iter().map(|item| &*item.name).collect();
        assert_eq!(
            names,
            ["squall:script/http@0.1.0", "acme:secrets/vault@1.0.0"]
        );
        assert_eq!(found.wasi["wasi:io@0.2.6"], ["poll", "streams"]);
        assert_eq!(found.refusals.len(), 1);
        assert_eq!(found.size_bytes, bytes.len() as u64);
    }

    #[test]
    fn versions_are_compatible_as_the_linker_has_it() {
        for (version, expected) in [
            ("0.1.0", "0.1"),
            ("0.1.12", "0.1"),
            ("1.2.3", "1"),
            ("12.0.0", "12"),
            ("0.0.3", "0.0.3"),
            ("0.2.0-rc-2023", "0.2.0-rc-2023"),
            ("", ""),
        ] {
            assert_eq!(track(version), expected);
        }
    }
}
