import Configuration
import Secrets

/// What every role checks before it begins; all mistakes of a step are told at once.
enum Setup {
    static func configuration(_ path: String) throws(SetupRefusal) -> Configuration {
        do throws(ConfigurationError) {
            return try Configuration.load(path: path)
        } catch {
            let count = error.problems.count
            let said = "\(count) \(count == 1 ? "mistake" : "mistakes") in \(path)"
            throw SetupRefusal(lines: error.problems.flatMap(\.lines) + [said])
        }
    }

    /// The directory of secrets, in which everything is that the targets need.
    static func secrets(_ root: String, for configuration: Configuration) throws(SetupRefusal) -> SecretDirectory {
        let secrets = SecretDirectory(root: root)
        let missing = configuration.secretProblems(root: root, exists: secrets.isThere, state: secrets.state)
        guard missing.isEmpty else { throw SetupRefusal(lines: missing.flatMap(\.lines)) }
        return secrets
    }
}

/// Why a role cannot start, in lines for people.
struct SetupRefusal: Error {
    var lines: [String]
}
