import Formats
import HTTPClient
import Model

/// Which page of which list.
public struct ListQuest: Sendable, Equatable {
    /// Most objects in a page; see ``ObjectPage``.
    public static let mostObjects = 500
    /// Most bytes of a page.
    public static let mostBytes = 32 << 20

    /// Of what.
    public var resource: APIResource
    /// In which namespace; nil: in all.
    public var namespace: String?
    /// Objects in the page.
    public var limit = ListQuest.mostObjects
    /// Where the page before ended; nil: from the beginning, as of now.
    public var continueToken: String?
    /// Only what matches (Kubernetes documentation, "Field Selectors"); nil: all.
    public var fieldSelector: String?
    /// How long it may take, milliseconds.
    public var milliseconds: UInt64 = 60_000
    /// As ``APICall/isUrgent``.
    public var isUrgent = false

    /// The first page of everything.
    public init(_ resource: APIResource, namespace: String? = nil) {
        self.resource = resource
        self.namespace = namespace
    }

    var call: APICall {
        var call = APICall(.list, resource, namespace: namespace)
        call.query = [("limit", "\(min(max(limit, 1), Self.mostObjects))")]
        if let continueToken { call.query.append(("continue", continueToken)) }
        if let fieldSelector { call.query.append(("fieldSelector", fieldSelector)) }
        call.milliseconds = milliseconds
        call.isUrgent = isUrgent
        call.maxBytes = Self.mostBytes
        return call
    }
}

/// What to watch, and from where.
public struct WatchQuest: Sendable, Equatable {
    /// Of what.
    public var resource: APIResource
    /// In which namespace; nil: in all.
    public var namespace: String?
    /// The resource version behind which events are wanted.
    public var resourceVersion: String
    /// As the list's.
    public var fieldSelector: String?
    /// After how many seconds the server is to end the watch.
    public var seconds = 300

    /// Everything behind `resourceVersion`.
    public init(_ resource: APIResource, namespace: String? = nil, resourceVersion: String) {
        self.resource = resource
        self.namespace = namespace
        self.resourceVersion = resourceVersion
    }

    var call: APICall {
        var call = APICall(.watch, resource, namespace: namespace)
        call.query = [
            ("watch", "1"), ("resourceVersion", resourceVersion), ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", "\(seconds)"),
        ]
        if let fieldSelector { call.query.append(("fieldSelector", fieldSelector)) }
        return call
    }
}

/// A watch that is open. For one reader at a time; when nobody has it any more, its connection is closed.
public actor WatchStream {
    private let call: APICall
    private let stream: HTTPStream
    private var reader = WatchReader()

    init(_ call: APICall, _ stream: HTTPStream) {
        self.call = call
        self.stream = stream
    }

    /// Until the next call of ``next()``, what comes is left where it is.
    nonisolated func hold() { stream.hold() }

    /// What comes next, waiting for it; nil when the server has ended the watch, as it does when its time is over.
    public func next() async throws(APIFailure) -> WatchPiece? {
        while true {
            let piece: [UInt8]?
            do throws(HTTPFailure) {
                piece = try await stream.next()
            } catch {
                throw APIVerdict.failure(call, error)
            }
            guard let piece else { return nil }
            do throws(APIObjectFault) {
                if let read = try reader.feed(piece) { return read }
            } catch {
                throw APIFailure(
                    .unreadable, "\(call): \(error); is something between that changes answers?")
            }
        }
    }
}

extension KubernetesClient {
    /// A watch from which nothing has come for this long has failed, milliseconds: servers send a bookmark a minute.
    static let watchSilence: UInt64 = 90_000

    /// A page of a list.
    public func list(_ quest: ListQuest) async throws(APIFailure) -> ObjectPage {
        let call = quest.call
        let body = try await send(call)
        do throws(APIObjectFault) {
            return try ObjectPage(body)
        } catch {
            throw APIFailure(.unreadable, "\(call): \(error); is something between that changes answers?")
        }
    }

    /// Opens a watch.
    ///
    /// - Parameter window: bytes of events that may wait for their reader before the server is slowed down.
    public func watch(_ quest: WatchQuest, window: Int = 1 << 20) async throws(APIFailure) -> WatchStream {
        let call = quest.call
        let bounds = StreamBounds(window: window, silence: Self.watchSilence)
        return WatchStream(
            call, try await open(call, bounds, total: UInt64(max(1, quest.seconds)) * 1_000 + 30_000))
    }

    /// The JSON of one object; nil if there is none of this name.
    public func get(
        _ resource: APIResource, namespace: String?, name: String, milliseconds: UInt64 = 30_000, isUrgent: Bool = false
    ) async throws(APIFailure) -> [UInt8]? {
        var call = APICall(.get, resource, namespace: namespace, name: name)
        call.milliseconds = milliseconds
        call.isUrgent = isUrgent
        do throws(APIFailure) {
            return try await send(call)
        } catch {
            if error.kind == .notFound { return nil }
            throw error
        }
    }

    /// Makes an object, and gives it as it was stored. `.alreadyExists` if there is one of its name.
    public func create(
        _ resource: APIResource, namespace: String?, object: [UInt8], milliseconds: UInt64 = 30_000,
        isUrgent: Bool = false
    ) async throws(APIFailure) -> [UInt8] {
        var call = APICall(.create, resource, namespace: namespace, body: SealedBytes(object))
        call.milliseconds = milliseconds
        call.isUrgent = isUrgent
        return try await send(call)
    }

    /// Changes an object by a merge patch (RFC 7386), and gives it as it was stored. `.conflict` if the patch carries a
    /// `metadata.resourceVersion` and the object is in another, `.notFound` if there is none.
    public func patch(
        _ resource: APIResource, namespace: String?, name: String, patch: [UInt8], milliseconds: UInt64 = 30_000,
        isUrgent: Bool = false
    ) async throws(APIFailure) -> [UInt8] {
        var call = APICall(.patch, resource, namespace: namespace, name: name, body: SealedBytes(patch))
        call.milliseconds = milliseconds
        call.isUrgent = isUrgent
        return try await send(call)
    }
}
