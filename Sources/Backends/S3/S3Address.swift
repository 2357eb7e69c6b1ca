import Model

/// Where a target's bucket is reached.
struct S3Address: Sendable, Equatable {
    /// What the `Host` field says, hence what is signed.
    let host: String
    /// `/bucket`, or nothing if the bucket stands in the host.
    let pathStart: String
    /// Scheme and authority that the client connects to.
    private let origin: String

    init(_ target: Target) {
        let endpoint = target.endpoint
        let isVirtual = target.s3.usesVirtualHost(endpoint, serverName: target.tlsServerName)
        let bare = isVirtual ? "\(target.s3.bucket).\(endpoint.host)" : endpoint.host
        let shown = bare.contains(":") ? "[\(bare)]" : bare
        // The client leaves the scheme's own port out of `Host`.
        let port = endpoint.port == (endpoint.scheme == "https" ? 443 : 80) ? "" : ":\(endpoint.port)"
        origin = "\(endpoint.scheme)://\(shown)\(port)"
        // The client says the name that it expects in the certificate.
        host = (endpoint.scheme == "https" ? target.tlsServerName ?? shown : shown) + port
        pathStart = isVirtual ? "" : "/" + PercentCode.encode(target.s3.bucket, keeping: "")
    }

    /// The path of an object, or of the bucket itself for an empty key.
    func path(key: String) -> String {
        key.isEmpty && !pathStart.isEmpty ? pathStart : pathStart + "/" + PercentCode.encode(key, keeping: "/")
    }

    /// The address of a request.
    func url(_ request: UnsignedRequest) -> String {
        let query = SigV4.queryString(request.query)
        return origin + request.path + (query.isEmpty ? "" : "?" + query)
    }
}
