/// An event for people (events.k8s.io/v1), as `kubectl events` shows it.
public struct EventNote: Sendable, Equatable {
    /// Longest accepted ``note``, bytes (validation of events.k8s.io/v1).
    public static let maxNoteBytes = 1_024

    /// The namespace of the event and of what it is about.
    public var namespace: String
    /// Its name. Made from what happened, so that it is told once.
    public var name: String
    /// What it is about.
    public var regarding: APIResource
    /// That object's name.
    public var regardingName: String
    /// That object's UID; empty if it is not known.
    public var regardingUID = ""
    /// One word for programs: why.
    public var reason: String
    /// One word for programs: what was done.
    public var action: String
    /// Whether it is a matter of concern (`Warning`) or not (`Normal`).
    public var isWarning: Bool
    /// For people; cut to ``maxNoteBytes``.
    public var note: String
    /// Microseconds since 1970.
    public var time: Int64
    /// Which process tells it; at most 128 bytes.
    public var reportingInstance: String

    /// All parts.
    public init(
        namespace: String, name: String, regarding: APIResource, regardingName: String, reason: String, action: String,
        isWarning: Bool, note: String, time: Int64, reportingInstance: String
    ) {
        self.namespace = namespace
        self.name = name
        self.regarding = regarding
        self.regardingName = regardingName
        self.reason = reason
        self.action = action
        self.isWarning = isWarning
        self.note = note
        self.time = time
        self.reportingInstance = reportingInstance
    }

    var object: [UInt8] {
        JSONBody.object { body in
            body.add(.events)
            body.add("metadata") { metadata in
                metadata.add("name", name)
                metadata.add("namespace", namespace)
            }
            body.add("eventTime", MicroTime.text(time))
            body.add("reportingController", "sidereal.cloud/export")
            body.add("reportingInstance", Self.cut(reportingInstance, 128))
            body.add("action", Self.cut(action, 128))
            body.add("reason", Self.cut(reason, 128))
            body.add("type", isWarning ? "Warning" : "Normal")
            body.add("note", Self.cut(note, Self.maxNoteBytes))
            body.add("regarding") { about in
                about.add(regarding)
                about.add("namespace", namespace)
                about.add("name", regardingName)
                if !regardingUID.isEmpty { about.add("uid", regardingUID) }
            }
        }
    }

    /// Whole characters, at most `limit` bytes of them.
    private static func cut(_ text: String, _ limit: Int) -> String {
        guard text.utf8.count > limit else { return text }
        var result = ""
        var count = 0
        for character in text {
            count += character.utf8.count
            if count > limit { break }
            result.append(character)
        }
        return result
    }
}

extension KubernetesClient {
    /// Tells of an event; one of the same name that is there already counts as told.
    public func tell(_ event: EventNote) async throws(APIFailure) {
        do throws(APIFailure) {
            _ = try await create(.events, namespace: event.namespace, object: event.object)
        } catch {
            if error.kind != .alreadyExists { throw error }
        }
    }
}
