/** What `shop.wit` takes of WASI. */
declare module "wasi:cli/environment" {
  /** All variables of the environment that the user granted. */
  export function getEnvironment(): [string, string][];
}
