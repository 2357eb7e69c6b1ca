internal import ExportCore
internal import NIOHTTP1
internal import Telemetry

/// Which path is what, and its answers.
struct Routes: Sendable {
    let feed: StatusFeed
    let registry: MetricRegistry
    /// Brings up to date what is measured when somebody looks.
    let refresh: @Sendable () async -> Void
    /// Whether there is a cluster to be shown, besides probes and metrics.
    let showsCluster: Bool
    let health: @Sendable () async -> EndpointHealth
    /// Whether only names of this machine may be asked for.
    let isLocal: Bool

    private static let probes = ["/metrics", "/healthz", "/readyz"]
    private static let cluster = ["/", "/v1/leader", "/v1/status", "/v1/gate", "/v1/events"]

    private var paths: [String] { (showsCluster ? Self.cluster : []) + Self.probes }

    /// The answer to a request; its body was read and thrown away.
    func answer(_ head: HTTPRequestHead) async -> Reply {
        guard isForUs(head.headers) else {
            return .problem(
                .misdirectedRequest,
                "This endpoint listens on this machine only and answers to localhost, 127.0.0.1 and [::1] in Host.")
        }
        let path = String(head.uri.prefix { $0 != "?" })
        let file = showsCluster ? PageFile.all[path] : nil
        guard file != nil || paths.contains(path) else {
            return .problem(
                .notFound, "There is nothing at this path. There is: \(paths.joined(separator: ", ")).")
        }
        let allowed: [HTTPMethod] = path == "/v1/events" ? [.GET] : [.GET, .HEAD]
        guard allowed.contains(head.method) else {
            let names = allowed.map(\.rawValue)
            var refusal = Reply.problem(
                .methodNotAllowed, "Everything here is read only: use \(names.joined(separator: " or ")).")
            refusal.fields = [("Allow", names.joined(separator: ", "))]
            return refusal
        }
        if let file { return file.reply(ifNoneMatch: head.headers["If-None-Match"].first) }
        switch path {
        case "/healthz": return await probe { $0.isAlive }
        case "/readyz": return await probe { $0.isReady }
        case "/metrics":
            await refresh()
            return Reply(.ok, type: "text/plain; version=0.0.4; charset=utf-8", registry.render())
        default: return await document(path)
        }
    }

    private func document(_ path: String) async -> Reply {
        guard let snapshot = await feed.snapshot() else {
            return .problem(
                .serviceUnavailable,
                "The coordinator does not answer: it is starting, stopping or stuck. Ask again, or another coordinator."
            )
        }
        let status = snapshot.status
        switch path {
        case "/v1/leader":
            let code: HTTPResponseStatus = status.leader == nil ? .serviceUnavailable : .ok
            return Reply(code, json: LeaderDocument(status))
        case "/v1/gate":
            let code: HTTPResponseStatus = status.gate.letsAskersStart ? .ok : .serviceUnavailable
            return Reply(code, json: GateDocument(status))
        case "/v1/events":
            var reply = Reply(.ok, type: "text/event-stream", [])
            reply.body = .events
            return reply
        default:
            return Reply(.ok, type: Reply.json, await feed.document() ?? [])
        }
    }

    private func probe(_ isWell: (EndpointHealth) -> Bool) async -> Reply {
        let health = await health()
        let isWell = isWell(health)
        return Reply(isWell ? .ok : .serviceUnavailable, json: ProbeDocument(ok: isWell, reason: health.reason))
    }

    /// A page of somebody else's whose name was made to mean 127.0.0.1 must not read this (DNS rebinding).
    private func isForUs(_ headers: HTTPHeaders) -> Bool {
        guard isLocal, let host = headers["Host"].first else { return true }
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" } + "]" : host.prefix { $0 != ":" }
        return ["localhost", "127.0.0.1", "[::1]"].contains(name.lowercased())
    }
}

/// `/v1/leader`.
private struct LeaderDocument: Encodable {
    var version: Int
    var time: String
    var coordinator: ClusterStatus.Coordinator
    var leader: ClusterStatus.Leader?

    init(_ status: ClusterStatus) {
        (version, time) = (status.version, status.time)
        (coordinator, leader) = (status.coordinator, status.leader)
    }
}

/// `/v1/gate`.
private struct GateDocument: Encodable {
    var version: Int
    var time: String
    var admits: Bool
    var gate: GateStatus
    var leader: ClusterStatus.Leader?

    init(_ status: ClusterStatus) {
        (version, time) = (status.version, status.time)
        (admits, gate, leader) = (status.gate.letsAskersStart, status.gate, status.leader)
    }
}

/// `/healthz` and `/readyz`.
private struct ProbeDocument: Encodable {
    var ok: Bool
    var reason: String
}
