//! The schemas in `schema/`, as the judge of lines. The tests of the host judge by
//! this module, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// All the schemas of a folder.
pub(crate) struct Judge {
    schemas: Schemas,
    /// By the name of the file, without its ending.
    by_name: BTreeMap<String, SchemaIndex>,
}

impl Judge {
    /// Reads the schemas of a folder. Fails if one is no schema, or refers to
    /// one that is not there.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        let mut urls = BTreeMap::new();
        for entry in fs::read_dir(folder).expect("the folder of the schemas can be read") {
            let path = entry.expect("the folder of the schemas can be read").path();
            let name = path.file_stem().and_then(|name| name.to_str());
            let name = name.expect("schemas have names").to_owned();
            let text = fs::read_to_string(&path).expect("a schema is text");
            let schema = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            // Where they would be on disk: they refer to each other by file name.
            let url = format!("file:///schema/{name}.json");
            compiler
                .add_resource(&url, schema)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            urls.insert(name, url);
        }
        let mut compile = |url: &String| {
            compiler
                .compile(url, &mut schemas)
                .unwrap_or_else(|error| panic!("{error:#}"))
        };
        let by_name = urls
            .iter()
            .map(|(name, url)| (name.clone(), compile(url)))
            .collect();
        Self { schemas, by_name }
    }

    /// Judges a line by the schema of its event; in a profile other than
    /// `native` by that of the wrapping. Says what is wrong with it.
    pub(crate) fn check(&self, line: &Value) -> Result<(), String> {
        let schema = match line["event_name"].as_str() {
            _ if line.get("@timestamp").is_some() => "envelope.ecs",
            _ if line.get("timestamp").is_some() => "envelope.datadog",
            _ if line.get("severity").is_some() => "envelope.gcp",
            Some(name) => name,
            None => "envelope",
        };
        let Some(index) = self.by_name.get(schema) else {
            return Err(format!("there is no schema `{schema}`: {line}"));
        };
        self.schemas
            .validate(line, *index)
            .map_err(|error| format!("{error:#}\nin {line}"))
    }
}
