public import Model

/// What is on disk for one key of a secret.
public enum SecretState: Sendable, Equatable {
    /// Usable.
    case present
    /// No such file.
    case absent
    /// There, and not usable; why, in a sentence without the value.
    case unusable(String)
}

/// Which keys of its secret a target needs.
public struct SecretRequirement: Sendable, Equatable {
    /// One of these sets of keys must be there as a whole; the first that is counts. Empty: no credentials are needed.
    public let alternatives: [[String]]

    /// Files that may be there, and must be usable if they are.
    private static let optional = ["ca.crt", "crl.pem", "tls.crt", "tls.key", "proxy-ca.crt"]

    /// Keys that may be there, and what each is of no use without.
    private static let companions = [
        ("tls.crt", "tls.key"), ("tls.key", "tls.crt"), ("crl.pem", "ca.crt"), ("proxyUsername", "proxyPassword"),
        ("proxyPassword", "proxyUsername"),
    ]

    /// What `target` needs. Nothing without a `secretRef`; the configuration's own check says whether that may be.
    public init(_ target: Target) {
        guard target.secretRef != nil else {
            alternatives = []
            return
        }
        switch target.backend {
        case .splunk: alternatives = [["token"]]
        case .elasticsearch: alternatives = [["apiKey"], ["username", "password"]]
        case .s3:
            // With another source of credentials the secret holds certificates only.
            let holdsKeys = [.auto, .secret].contains(target.s3.credentials)
            alternatives = holdsKeys ? [["accessKeyId", "secretAccessKey"]] : []
        case .syslog, .file: alternatives = []
        }
    }

    /// What is wrong with the secret `ref`: each finding a message and a hint. `state` tells what is on disk.
    func findings(
        _ ref: String, root: String, exists: Bool, _ state: (String) -> SecretState
    ) -> [(message: String, hint: String)] {
        if !exists, alternatives.isEmpty {
            return [
                (
                    "there is no such secret",
                    "mount the Kubernetes Secret \(ref) as the directory \(root)/\(ref), or make that directory with the"
                        + " certificates in it; without a secret leave `secretRef` out"
                )
            ]
        }
        let keys = Set(alternatives.joined()).union(exists ? Self.optional : [])
        let states = Dictionary(uniqueKeysWithValues: keys.map { ($0, state($0)) })
        var found = states.sorted { $0.key < $1.key }.compactMap { key, state -> (message: String, hint: String)? in
            guard case .unusable(let reason) = state else { return nil }
            return ("the secret's key `\(key)` cannot be used: \(reason)", "mend the file \(root)/\(ref)/\(key)")
        }
        let hasUsableKeys = !alternatives.joined().contains {
            if case .unusable = states[$0] { true } else { false }
        }
        let isComplete = alternatives.contains { $0.allSatisfy { states[$0] == .present } }
        if hasUsableKeys, !isComplete, !alternatives.isEmpty {
            // Whoever began one alternative is told what that one lacks.
            let begun = alternatives.filter { $0.contains { states[$0] == .present } }
            let lacking = (begun.isEmpty ? alternatives : begun).map { $0.filter { states[$0] == .absent } }
            let names = lacking.map { $0.map { "`\($0)`" }.joined(separator: " and ") }.joined(separator: ", or ")
            let first = lacking.last?.first ?? ""
            found.append(
                (
                    "the secret lacks \(names)",
                    "put each into a file of that name, such as \(root)/\(ref)/\(first), or add the key to the"
                        + " Kubernetes Secret \(ref)"
                ))
        }
        for (key, other) in Self.companions where exists && state(key) == .present && state(other) == .absent {
            found.append(
                (
                    "the secret holds `\(key)` without `\(other)`",
                    "add \(root)/\(ref)/\(other), or remove the other"
                ))
        }
        return found
    }
}

extension Configuration {
    /// What is wrong with the secrets that the targets name, in the file's order; empty if nothing is. Pure: `state`
    /// tells for a `secretRef` and a key what is on disk below `root`, which only stands in hints; `exists` whether there
    /// is anything of that secret at all.
    public func secretProblems(
        root: String, exists: (_ ref: String) -> Bool, state: (_ ref: String, _ key: String) -> SecretState
    ) -> [ConfigurationProblem] {
        let problems = Problems(file: file)
        for (target, origin) in zip(targets, origins) {
            guard let ref = target.secretRef else { continue }
            let found = SecretRequirement(target).findings(ref, root: root, exists: exists(ref)) { state(ref, $0) }
            for (message, hint) in found {
                problems.add(origin.position, origin.keyPath + ".secretRef", "\(shown(ref)): \(message)", hint: hint)
            }
        }
        return problems.sorted
    }
}
