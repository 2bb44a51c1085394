//! Linking of the Lua module.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Lua unloads a library with the VM that loaded it: at a worker's end, and with `lua_code_cache off` after each request.
    // The engine's thread runs in it until the process ends.
    println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
}
