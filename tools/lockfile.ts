/** Checks what package-lock.json needs for `npm ci` to work with any npm and any registry. */

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface Lock {
  /**
   * The packages by path below the checkout (`node_modules/...`); the empty path is the project
   * itself.
   */
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

/**
 * Reports whether a package at `path` finds `name` the way Node looks for it: in its own folder,
 * then in each one above.
 */
function isLocked(lock: Lock, path: string, name: string): boolean {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    if (lock.packages[`${at === "" ? "" : `${at}/`}node_modules/${name}`] !== undefined) {
      return true;
    }
    if (at === "") return false;
  }
}

export function findLockProblems(lock: Lock, manifest: Manifest): string[] {
  const problems: string[] = [];
  for (const [name, version] of Object.entries({
    ...manifest.dependencies,
    ...manifest.devDependencies,
  })) {
    if (!/^\d+\.\d+\.\d+$/.test(version)) {
      problems.push(
        `${name}@${version} is not pinned\n    remedy: npm install --save-exact ${name}`,
      );
    }
  }
  for (const [path, locked] of Object.entries(lock.packages)) {
    // When a registry lacks the package for a foreign platform, npm leaves it out of the lock, and
    // `npm ci` then refuses the lock.
    for (const name of Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })) {
      if (isLocked(lock, path, name)) continue;
      problems.push(
        `${name}, which ${path} asks for, is not locked\n    remedy: add it to package-lock.json with version, os and cpu`,
      );
    }
    if (locked.resolved !== undefined) {
      problems.push(
        `${path} is tied to ${locked.resolved}\n    remedy: npm install --omit-lockfile-registry-resolved`,
      );
    }
    if (locked.hasInstallScript === true) {
      const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
      if (manifest.allowScripts?.[name] === undefined) {
        problems.push(
          `${name} has an install script\n    remedy: say in package.json's allowScripts whether it may run`,
        );
      }
    }
  }
  return problems;
}
