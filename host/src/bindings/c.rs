//! Bindings for C: `squall.h`, whose names are as short as C's lack of packages
//! allows: `http_get`, `exports_user_iterate`, `squall_string_t`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wit_bindgen_core::wit_parser::{Resolve, WorldId};

use super::{own_interfaces, run};
use crate::error::Problem;

/// Makes the header, its source, and the object file that says to which world a
/// component belongs.
pub(super) fn generate(
    resolve: &mut Resolve,
    world: WorldId,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, Problem> {
    let rename = own_interfaces(resolve, world)
        .into_iter()
        .map(|(key, name)| (resolve.name_world_key(key), name.replace('-', "_")))
        .collect();
    let options = wit_bindgen_c::Opts {
        rename,
        // The names of types that belong to no interface begin with it.
        rename_world: Some("squall".to_owned()),
        ..wit_bindgen_c::Opts::default()
    };
    run(options.build(), resolve, world)
}
