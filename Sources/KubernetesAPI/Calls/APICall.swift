import HTTPClient
public import Model

/// One request to the API server.
public struct APICall: Sendable, CustomStringConvertible {
    /// What is done.
    public var verb: APIVerb
    /// To what.
    public var resource: APIResource
    /// In which namespace; nil: in all of them, or with objects of the cluster.
    public var namespace: String?
    /// To which object; nil with list, watch and create.
    public var name: String?
    /// Parameters, not yet encoded.
    public var query: [(name: String, value: String)] = []
    /// The object, or the patch.
    public var body: SealedBytes?
    /// How long it may take, milliseconds. The server is told to give up a little sooner.
    public var milliseconds: UInt64 = 30_000
    /// Longest accepted answer, bytes.
    public var maxBytes = 4 << 20
    /// Goes before what is not: a lease must not wait behind thousands of patches.
    public var isUrgent = false

    /// A call without parameters.
    public init(
        _ verb: APIVerb, _ resource: APIResource, namespace: String? = nil, name: String? = nil,
        body: SealedBytes? = nil
    ) {
        self.verb = verb
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.body = body
    }

    /// Verb, resource and object.
    public var description: String {
        let place = [namespace, name].compactMap(\.self).joined(separator: "/")
        let shown = PlainText.line(place, limit: 330)
        return "\(verb.rawValue) \(resource)\(shown.isEmpty ? "" : " \(shown)")"
    }

    /// How it goes over the wire.
    var method: HTTPMethod {
        switch verb {
        case .get, .list, .watch: .get
        case .create: .post
        case .update: .put
        case .patch: .patch
        case .delete: .delete
        }
    }

    /// It does not share a connection. A patch of a result costs kube-apiserver a tenth to a fifth less over HTTP/1.1 than over
    /// HTTP/2, and its caller a fifth (docs/kubernetes-results.md, "What it costs"), and thousands of them may come at a time.
    var goesAlone: Bool { verb == .patch && !isUrgent }

    /// The type of the body; only merge patches (RFC 7386) are sent.
    var contentType: String { verb == .patch ? "application/merge-patch+json" : "application/json" }

    /// Path and query; nil if namespace or name is not one, or of the two one is missing that the verb needs.
    var target: String? {
        var path = resource.group.isEmpty ? "/api/\(resource.version)" : "/apis/\(resource.apiVersion)"
        let isOnObject = verb != .list && verb != .watch && verb != .create
        if let namespace {
            guard resource.isNamespaced, ObjectName.isLabel(namespace.utf8) else { return nil }
            path += "/namespaces/\(namespace)"
        } else if resource.isNamespaced, verb != .list, verb != .watch {
            return nil
        }
        path += "/\(resource.plural)"
        guard isOnObject == (name != nil) else { return nil }
        if let name {
            guard ObjectName.isName(name.utf8) else { return nil }
            path += "/\(name)"
        }
        let parameters = (query + timeLimit).map { "\($0.name)=\(Self.encoded($0.value))" }
        return parameters.isEmpty ? path : path + "?" + parameters.joined(separator: "&")
    }

    /// A server that gives up before its caller says so, and whether it had begun. `timeout` goes for every request that is
    /// not long-running (k8s.io/apiserver, `WithRequestDeadline`), lists among them; `timeoutSeconds` is heeded for watches
    /// only, whose query has it already.
    private var timeLimit: [(name: String, value: String)] {
        verb == .watch ? [] : [("timeout", "\(max(1, milliseconds * 4 / 5 / 1_000))s")]
    }

    /// Percent-encoded (RFC 3986, section 2.3).
    static func encoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || [0x2D, 0x2E, 0x5F, 0x7E].contains(byte)
            if isPlain {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = Array("0123456789ABCDEF")
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
        return result
    }
}
