/// A kind of objects, as a path names it.
public struct APIResource: Sendable, Hashable, CustomStringConvertible {
    /// The API group; empty for the core.
    public var group: String
    /// Its version, such as `v1`.
    public var version: String
    /// The plural, lower case.
    public var plural: String
    /// The kind in objects.
    public var kind: String
    /// Whether its objects lie in namespaces.
    public var isNamespaced: Bool

    /// All parts.
    public init(group: String, version: String, plural: String, kind: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
    }

    /// The results of probes.
    public static let probeResults = APIResource(
        group: "sidereal.cloud", version: "v1alpha1", plural: "siderealproberesults", kind: "SiderealProbeResult")
    /// The alerts that people acknowledge.
    public static let systemAlerts = APIResource(
        group: "sidereal.cloud", version: "v1alpha1", plural: "siderealsystemalerts", kind: "SiderealSystemAlert")
    /// Leases.
    public static let leases = APIResource(
        group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease")
    /// Events.
    public static let events = APIResource(group: "events.k8s.io", version: "v1", plural: "events", kind: "Event")

    /// `group/version`, as objects have it.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// Plural and group, as `kubectl` takes it.
    public var description: String { group.isEmpty ? plural : "\(plural).\(group)" }
}

/// What is done to objects, in the words of RBAC.
public enum APIVerb: String, Sendable, CaseIterable {
    /// Read one.
    case get
    /// Read all, in pages.
    case list
    /// Hear of changes.
    case watch
    /// Make one.
    case create
    /// Write one anew.
    case update
    /// Change parts of one.
    case patch
    /// Remove one.
    case delete

    /// Whether it may change something.
    var isWrite: Bool { self != .get && self != .list && self != .watch }
}

/// The permission that a caller lacks.
public struct MissingPermission: Sendable, Equatable, CustomStringConvertible {
    /// What is asked for.
    public var verb: APIVerb
    /// Of what.
    public var resource: APIResource
    /// Where; nil: in the whole cluster.
    public var namespace: String?

    /// All parts.
    public init(verb: APIVerb, resource: APIResource, namespace: String?) {
        self.verb = verb
        self.resource = resource
        self.namespace = namespace
    }

    /// The rule as a line of YAML, for the `rules` of a Role or ClusterRole (rbac.authorization.k8s.io/v1).
    public var rule: String {
        "- {apiGroups: [\"\(resource.group)\"], resources: [\"\(resource.plural)\"], verbs: [\"\(verb.rawValue)\"]}"
    }

    /// What to do, in words.
    public var description: String {
        if let namespace {
            return "add to the rules of a Role in namespace \(namespace) that is bound to this user: \(rule)"
        }
        return "add to the rules of a ClusterRole that a ClusterRoleBinding binds to this user: \(rule)"
    }
}
