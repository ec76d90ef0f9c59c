// The admin API of the router that served this page. The key lives in this tab's session storage and in one header.

const KEY = "shadowprice-admin-key";
const PATIENCE_MS = 5000;

export class Unauthorized extends Error {}

export const storedKey = () => sessionStorage.getItem(KEY);
export const storeKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);

/** The JSON at a path; throws Unauthorized where a key is asked for, Error with a sentence otherwise. */
export async function ask(path) {
  const key = storedKey();
  const headers = key === null ? {} : { Authorization: `Bearer ${key}` };
  let response;
  try {
    response = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    const why = error.name === "TimeoutError" ? `nothing within ${PATIENCE_MS / 1000} s` : "no connection";
    throw new Error(`The router does not answer (${why}).`);
  }
  if (response.status === 401) throw new Unauthorized((await problem(response)) ?? "the key was refused");
  if (!response.ok) throw new Error(`The router answered ${path} with ${response.status}: ${(await problem(response)) ?? response.statusText}`);
  try {
    return await response.json();
  } catch {
    throw new Error(`The router's answer to ${path} broke off or is no JSON.`);
  }
}

async function problem(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return null;
  }
}
