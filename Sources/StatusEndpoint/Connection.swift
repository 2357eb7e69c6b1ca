internal import ExportCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1

typealias EndpointChannel = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

/// Answers the requests of one connection, one after the other.
struct Connection: Sendable {
    typealias Writer = NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>

    /// Bodies leave in pieces, so that a slow reader is noticed by what it does not take.
    private static let pieceBytes = 32 << 10

    let routes: Routes
    let feed: StatusFeed
    let log: Logger

    /// Until the other side or a bound ends it.
    func serve(_ channel: EndpointChannel) async {
        do {
            try await channel.executeThenClose { inbound, writer in
                var head: HTTPRequestHead?
                for try await part in inbound {
                    switch part {
                    case .head(let arrived): head = arrived
                    case .body: break
                    case .end:
                        guard let request = head.take() else { return }
                        guard try await answer(request, writer) else {
                            // The guard of the connection closes it when the answer is out.
                            try await channel.channel.closeFuture.get()
                            return
                        }
                    }
                }
            }
        } catch {
            // Hung up in the middle, or closed by a bound: nobody is left to be told.
            log.trace("status endpoint: a connection ended: \(error)")
        }
    }

    /// False if the connection ends with this answer.
    private func answer(_ request: HTTPRequestHead, _ writer: Writer) async throws -> Bool {
        var reply = await routes.answer(request)
        let isListener = reply.body.isEvents
        if isListener, await !feed.join() {
            reply = .problem(.serviceUnavailable, "There are as many listeners as are allowed; ask /v1/status instead.")
            reply.fields = [("Retry-After", "30")]
        } else if isListener {
            do {
                try await EventStream(feed: feed, writer: writer).run(
                    after: reply.head(version: request.version, closes: true))
            } catch {
                await feed.leave()
                throw error
            }
            await feed.leave()
            return false
        }
        let closes = !request.isKeepAlive
        try await writer.write(.head(reply.head(version: request.version, closes: closes)))
        if request.method != .HEAD, case .whole(let bytes) = reply.body, !bytes.isEmpty {
            try await writer.write(bytes, piece: Self.pieceBytes)
        }
        try await writer.write(.end(nil))
        return !closes
    }
}

extension NIOAsyncChannelOutboundWriter<HTTPServerResponsePart> {
    /// Writes a body in pieces, each when the one before is on its way.
    func write(_ bytes: [UInt8], piece: Int = 32 << 10) async throws {
        var rest = ByteBuffer(bytes: bytes)
        while let part = rest.readSlice(length: min(piece, rest.readableBytes)), part.readableBytes > 0 {
            try await write(.body(.byteBuffer(part)))
        }
    }
}

extension Reply.Body {
    fileprivate var isEvents: Bool {
        if case .events = self { true } else { false }
    }
}

/// One listener's stream of server-sent events (HTML Living Standard, section 9.2).
///
/// | event | data | when |
/// |---|---|---|
/// | `history` | samples; all of them first, then new ones | first, and when there are new ones |
/// | `pace` | `{"milliseconds": n}` | first, and when the pause between two `status` changes |
/// | `status` | the status without its history | first, then about once a second |
///
/// A listener that is slow gets the newest status and never a queue of old ones; one that takes nothing at all is closed
/// by the connection's guard.
struct EventStream: Sendable {
    let feed: StatusFeed
    let writer: Connection.Writer

    private struct Pace: Encodable {
        var milliseconds: UInt64
    }

    /// Until the listener is gone or the endpoint stops.
    func run(after head: HTTPResponseHead) async throws {
        try await writer.write(.head(head))
        // After this long a browser comes back by itself.
        try await writer.write(Array("retry: 2000\n\n".utf8))
        let record = await feed.record()
        var lastSample = record.samples.last?.number ?? 0
        try await send("history", StatusJSON.encode(record))
        var pace = StatusFeed.pulseMilliseconds
        try await send("pace", StatusJSON.encode(Pace(milliseconds: pace)))
        var number: UInt64 = 0
        if let snapshot = await feed.snapshot() {
            number = snapshot.number
            try await send("status", StatusJSON.encode(snapshot.status))
        }
        while let broadcast = await feed.next(after: number) {
            number = broadcast.number
            if broadcast.lastSample > lastSample {
                if let samples = broadcast.samples, broadcast.samplesAfter <= lastSample {
                    try await send("history", samples)
                } else {
                    // Some were missed while this listener was busy.
                    try await send("history", StatusJSON.encode(feed.record(after: lastSample)))
                }
                lastSample = broadcast.lastSample
            }
            if broadcast.pace != pace {
                pace = broadcast.pace
                try await send("pace", StatusJSON.encode(Pace(milliseconds: pace)))
            }
            try await send("status", broadcast.status)
        }
        try await writer.write(.end(nil))
    }

    /// JSON has no raw line ends, so one line of data is enough.
    private func send(_ event: String, _ json: [UInt8]) async throws {
        try await writer.write(Array("event: \(event)\ndata: ".utf8) + json + Array("\n\n".utf8))
    }
}
