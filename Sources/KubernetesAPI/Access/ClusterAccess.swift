import Glibc
public import HTTPClient
public import Model
import Secrets
import Threading

/// How a cluster's API server is reached, and as whom.
public struct ClusterAccess: Sendable {
    /// `https://host:port`, perhaps with a path, without a slash at the end.
    public var server: String
    /// Trust, and a client certificate if there is one.
    public var tls: TLSSettings
    /// As ``HTTPRequest/proxy``.
    public var proxy: String?
    /// As whom.
    public var user: ClusterUser
    /// Whom to act for.
    public var impersonation: Impersonation?
    /// The namespace that is named, if one is.
    public var namespace: String?
    /// Where this comes from, for messages.
    public var origin: String

    /// All parts.
    public init(
        server: String, tls: TLSSettings, user: ClusterUser, proxy: String? = nil, impersonation: Impersonation? = nil,
        namespace: String? = nil, origin: String
    ) {
        self.server = server
        self.tls = tls
        self.user = user
        self.proxy = proxy
        self.impersonation = impersonation
        self.namespace = namespace
        self.origin = origin
    }
}

/// Who asks.
public enum ClusterUser: Sendable, Equatable {
    /// Nobody, or whom the client certificate names.
    case certificateOnly
    /// The owner of a token that does not change.
    case token(Secret)
    /// The owner of a token in a file, which is read again as it rotates.
    case tokenFile(String)
    /// Whom a program vouches for.
    case plugin(ExecPlugin)
}

/// For whom somebody acts (Kubernetes documentation, "User impersonation").
public struct Impersonation: Sendable, Equatable {
    /// The user's name.
    public var user: String
    /// The groups.
    public var groups: [String] = []
    /// The UID.
    public var uid: String?

    var headers: [HTTPHeader] {
        [HTTPHeader("Impersonate-User", user)] + groups.map { HTTPHeader("Impersonate-Group", $0) }
            + (uid.map { [HTTPHeader("Impersonate-Uid", $0)] } ?? [])
    }
}

extension ClusterAccess {
    /// Where a pod finds its service account.
    public static let serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// The access of the pod that this process runs in (Kubernetes documentation, "Accessing the Kubernetes API from a Pod").
    ///
    /// Token and authorities are read again whenever they rotate.
    ///
    /// - Parameter variable: the environment.
    public static func inCluster(
        directory: String = serviceAccountDirectory, variable: (String) -> String? = environment
    ) throws(AccessError) -> ClusterAccess {
        guard let host = variable("KUBERNETES_SERVICE_HOST"), let port = variable("KUBERNETES_SERVICE_PORT"),
            !host.isEmpty, !port.isEmpty
        else {
            throw AccessError(
                .notInCluster,
                "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; outside of the cluster give"
                    + " --kubeconfig FILE")
        }
        let token = directory + "/token"
        for file in [token, directory + "/ca.crt"] {
            guard unsafe access(file, R_OK) == 0 else {
                let why = systemErrorText(errno)
                throw AccessError(
                    .notInCluster,
                    "cannot read \(file): \(why); the pod needs its service account (serviceAccountName, and"
                        + " automountServiceAccountToken not false)")
            }
        }
        let namespace: Secret?
        do throws(SecretError) {
            namespace = try SecretFile.read(path: directory + "/namespace")
        } catch {
            throw AccessError(.unreadable, "\(error)")
        }
        let bracketed = host.utf8.contains(0x3A) && !host.hasPrefix("[") ? "[\(host)]" : host
        return ClusterAccess(
            server: "https://\(bracketed):\(port)", tls: TLSSettings(caFile: directory + "/ca.crt"),
            user: .tokenFile(token), namespace: namespace?.reveal(), origin: "the pod's service account")
    }

    /// A variable of this process's environment.
    public static func environment(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }
}
