public import Model

/// A request method (RFC 9110 section 9).
public enum HTTPMethod: String, Sendable, CaseIterable {
    /// Fetch.
    case get = "GET"
    /// Process the body.
    case post = "POST"
    /// Store the body.
    case put = "PUT"
    /// Fetch the header fields only.
    case head = "HEAD"
    /// Remove.
    case delete = "DELETE"
    /// Change as the body says (RFC 5789).
    case patch = "PATCH"

    /// Whether sending twice is the same as sending once (RFC 9110 section 9.2.2, RFC 5789 section 2).
    public var isIdempotent: Bool { self != .post && self != .patch }
    /// Whether a request of this method has a body.
    var hasBody: Bool { self == .post || self == .put || self == .patch }
}

/// One header field of a request. A value may be a credential, which no description shows.
@safe public struct HTTPHeader: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The field's name.
    public let name: String
    let value: String
    let secret: Secret?

    /// A field whose value may be shown.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
        secret = nil
    }

    /// A field whose value is `prefix` and then the credential: `HTTPHeader("Authorization", secret: token,
    /// prefix: "Splunk ")`.
    public init(_ name: String, secret: Secret, prefix: String = "") {
        self.name = name
        value = prefix
        self.secret = secret
    }

    /// What goes over the wire. Only for the bytes that leave.
    var wireValue: String {
        guard let secret else { return value }
        return value + secret.reveal()
    }

    /// Name and value; of a credential only its prefix.
    public var description: String { "\(name): \(value)\(secret.map { "\($0)" } ?? "")" }
    /// As ``description``.
    public var debugDescription: String { description }
}

/// How long a request may take, milliseconds. Zero means: no bound of this kind.
public struct HTTPTimeouts: Sendable, Equatable {
    /// Name resolution, TCP, proxy and TLS handshake together, for a new connection.
    public var connect: UInt64
    /// Silence of the server: from the last progress of the upload (or the last 1xx answer) until the status
    /// line of the final answer. Never earlier, at most a quarter of a second later.
    public var firstByte: UInt64
    /// From the call of ``HTTPClient/send(_:)``, waiting for a free connection included, until the answer is
    /// complete.
    public var total: UInt64

    /// The three bounds in milliseconds.
    public init(connect: UInt64 = 10_000, firstByte: UInt64 = 60_000, total: UInt64 = 120_000) {
        self.connect = connect
        self.firstByte = firstByte
        self.total = total
    }
}

/// What a connection trusts and shows. There is no way to switch verification off.
///
/// Files are looked at (inode, size, time of change) for every request and read again when they changed. Their
/// contents, not their paths, identify a connection: after a change no older connection is used again.
public struct TLSSettings: Sendable, Equatable {
    /// PEM file of the certificate authorities to trust **instead of** the system's; `nil`: the system's.
    public var caFile: String?
    /// PEM file of revocation lists (RFC 5280). With it a chain is good only if there is a current list of every
    /// authority in it. Needs ``caFile``.
    public var revocationFile: String?
    /// PEM file of the authorities to trust for an `https` proxy **instead of** the system's.
    public var proxyCAFile: String?
    /// PEM file of the client certificate and its chain.
    public var certificateFile: String?
    /// PEM file of the client certificate's private key, without a passphrase.
    public var keyFile: String?
    /// The server's name for SNI, certificate check and `Host`, if it is not the URL's host.
    public var serverName: String?
    /// What of authorities, client certificate and key is in memory; it goes before the files.
    public var inMemory = PEMData()

    /// All of them, each optional; `certificateFile` and `keyFile` only together.
    public init(
        caFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil, serverName: String? = nil,
        revocationFile: String? = nil, proxyCAFile: String? = nil
    ) {
        self.caFile = caFile
        self.revocationFile = revocationFile
        self.proxyCAFile = proxyCAFile
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.serverName = serverName
    }

    /// Whether there is a client certificate to show.
    var hasClientCertificate: Bool { certificateFile != nil || inMemory.certificate != nil }
    /// Whether there is a key, in a file or in memory.
    var hasClientKey: Bool { keyFile != nil || inMemory.key != nil }
}

/// Certificates and a key that never were files of their own, as a kubeconfig carries them. PEM.
public struct PEMData: Sendable, Equatable, CustomReflectable {
    /// The authorities to trust instead of the system's.
    public var authorities: SealedBytes?
    /// The client certificate and its chain.
    public var certificate: SealedBytes?
    /// The client certificate's key, without a passphrase.
    public var key: Secret?

    /// All of them, each optional; certificate and key only together.
    public init(authorities: SealedBytes? = nil, certificate: SealedBytes? = nil, key: Secret? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }

    /// By content.
    public static func == (a: PEMData, b: PEMData) -> Bool {
        same(a.authorities, b.authorities) && same(a.certificate, b.certificate) && a.key == b.key
    }

    private static func same(_ a: SealedBytes?, _ b: SealedBytes?) -> Bool { a === b || a?.array == b?.array }

    /// Which of them are there, and nothing of what they hold.
    public var customMirror: Mirror {
        Mirror(
            self,
            children: [
                "authorities": authorities != nil, "certificate": certificate != nil, "key": key != nil,
            ])
    }
}

/// One request.
public struct HTTPRequest: Sendable, CustomStringConvertible, CustomReflectable {
    /// Whether ``url`` may be this.
    public static func takes(url: String) -> Bool { URLParts(url) != nil }

    /// The method.
    public var method: HTTPMethod
    /// Absolute `http` or `https` URL, already percent-encoded, without credentials. The path is sent as it is.
    public var url: String
    /// Fields to send. `Content-Length`, `Transfer-Encoding` and `Expect` belong to the client and are refused.
    public var headers: [HTTPHeader]
    /// The body, which is not copied and is kept until the request has ended. Only with POST, PUT and PATCH.
    public var body: SealedBytes?
    /// How long it may take.
    public var timeouts: HTTPTimeouts
    /// Trust and client certificate, for `https`.
    public var tls: TLSSettings
    /// Proxy, `http://host:port` or `https://host:port`; `""`: none; `nil`: what ``ProxyEnvironment`` says. An `https`
    /// request goes through it in a tunnel (CONNECT, RFC 9110 section 9.3.6), whose other end is checked like any other
    /// server.
    public var proxy: String?
    /// Credentials for the proxy (Basic), whichever it is; only together.
    public var proxyUser: Secret?
    /// See ``proxyUser``.
    public var proxyPassword: Secret?
    /// Longest response body that is accepted, bytes.
    public var maxResponseBytes: Int
    /// Whether the client may send the request a second time by itself when a kept-alive connection dies under it
    /// before any byte of an answer. By default as the method says; a POST that the receiver recognises when it
    /// comes twice may set it.
    public var isIdempotent: Bool
    /// Only over a connection that an earlier request opened; the request fails with `.noOpenConnection`, unsent, if
    /// there is none any more. With a client of one connection, two requests then certainly meet the same peer.
    public var needsOpenConnection = false
    /// How many requests a connection carries at a time.
    public enum Sharing: Sendable {
        /// As many as the server's protocol allows; where none is open yet, each opens one.
        case any
        /// The same, but a request rather waits for a connection that is being opened than open another beside it, in case
        /// that it turns out to be one of HTTP/2, which carries many at once.
        case shared
        /// One: HTTP/1.1, over connections that are kept.
        case alone
    }

    /// Over which connections it may go.
    public var sharing = Sharing.any

    /// A request with the defaults.
    public init(
        method: HTTPMethod, url: String, headers: [HTTPHeader] = [], body: SealedBytes? = nil,
        timeouts: HTTPTimeouts = HTTPTimeouts(), tls: TLSSettings = TLSSettings(), proxy: String? = nil,
        maxResponseBytes: Int = Limits().maxResponseBytes, isIdempotent: Bool? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeouts = timeouts
        self.tls = tls
        self.proxy = proxy
        self.maxResponseBytes = maxResponseBytes
        self.isIdempotent = isIdempotent ?? method.isIdempotent
    }

    /// Method and URL up to the query, which may hold what logs must not.
    public var description: String { "\(method.rawValue) \(url.prefix { $0 != "?" })" }

    /// Without query and proxy, which may hold credentials.
    public var customMirror: Mirror { Mirror(self, children: ["request": description, "headers": headers]) }
}
