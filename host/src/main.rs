//! The program `squall`: hands over to the library.

/// VUs allocate on every thread at once, which this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    squall::cli::main()
}
