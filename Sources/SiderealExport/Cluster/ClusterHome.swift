import KubernetesAPI

/// Where a cluster's coordinators keep what outlives them.
enum ClusterHome: Sendable {
    /// A directory that the coordinators of this machine share.
    case directory(String)
    /// The objects of a Kubernetes cluster.
    case kubernetes(ClusterAccess, namespace: String)

    /// Where the chart puts everything.
    static let defaultNamespace = "sidereal-system"

    /// What the command line says of it.
    struct Options: Sendable {
        var standalone: String?
        var kubeconfig: String?
        var context: String?
        var namespace: String?
    }

    /// Chooses; nil if something is wrong.
    ///
    /// - Parameters:
    ///   - variable: the environment.
    ///   - mistakes: gets what is wrong, all of it.
    init?(
        _ options: Options, accountDirectory: String = ClusterAccess.serviceAccountDirectory,
        variable: (String) -> String? = ClusterAccess.environment, _ mistakes: inout [String]
    ) {
        let before = mistakes.count
        // As a variable of a script that was not set makes them.
        let given = [
            ("--standalone", options.standalone), ("--kubeconfig", options.kubeconfig), ("--context", options.context),
            ("--namespace", options.namespace),
        ]
        mistakes += given.filter { $0.1 == "" }.map {
            "\($0.0) is given with nothing behind it: name one, or leave it out"
        }
        guard mistakes.count == before else { return nil }
        if let directory = options.standalone {
            let others = given.dropFirst().filter { $0.1 != nil }.map(\.0)
            if !others.isEmpty {
                mistakes.append(
                    "--standalone keeps the cluster in a directory, and \(others.joined(separator: " and ")) would have it in"
                        + " Kubernetes: leave out one or the other")
            }
            guard mistakes.count == before else { return nil }
            self = .directory(directory)
            return
        }
        if let context = options.context, options.kubeconfig == nil {
            mistakes.append(
                "--context \(context.printable) is a context of which file? Give --kubeconfig FILE as well; a pod's own access has"
                    + " no contexts")
        }
        if let namespace = options.namespace, !Self.isNamespace(namespace) {
            mistakes.append(
                "--namespace \(namespace.printable): a namespace has 1 to 63 lower-case letters, digits and '-', and begins and"
                    + " ends with a letter or digit")
        }
        guard mistakes.count == before else { return nil }
        let access: ClusterAccess
        do throws(AccessError) {
            if let file = options.kubeconfig {
                access = try KubeConfig.load(file: file, context: options.context)
            } else {
                access = try ClusterAccess.inCluster(directory: accountDirectory, variable: variable)
            }
        } catch {
            let isNowhere = error.kind == .notInCluster && options.kubeconfig == nil
            mistakes.append("\(error)" + (isNowhere ? ", or --standalone DIR to do without Kubernetes" : ""))
            return nil
        }
        // A person's context says where that person works, which is hardly where the exporter lives.
        let own = options.kubeconfig == nil ? access.namespace : nil
        self = .kubernetes(access, namespace: options.namespace ?? own ?? Self.defaultNamespace)
    }

    /// Who holds the lease when this start of the coordinator `name` leads; no other start has the same.
    ///
    /// In Kubernetes it is spelt as other controllers spell it, the pod's name and a UUID of this start, for that is what `kubectl
    /// get lease` shows.
    func identity(of name: String) -> String {
        var seeds = SystemRandomNumberGenerator()
        switch self {
        case .directory: return "\(name)/\(String(seeds.next() as UInt64, radix: 16))"
        case .kubernetes: return "\(name)_\(Self.uuid(seeds.next(), seeds.next()))"
        }
    }

    /// A UUID of version 4 (RFC 9562, section 5.4).
    static func uuid(_ high: UInt64, _ low: UInt64) -> String {
        func digits(_ number: UInt64) -> String {
            let text = String(number, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        let all = Array(digits(high & ~0xF000 | 0x4000) + digits(low & ~(3 << 62) | 2 << 62))
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(all[$0]) }.joined(separator: "-")
    }

    /// A label of RFC 1123.
    private static func isNamespace(_ text: String) -> Bool {
        let isPlain = text.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D
        }
        return isPlain && 1...63 ~= text.utf8.count && text.first != "-" && text.last != "-"
    }
}
