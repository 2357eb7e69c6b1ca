public import ExportCore
import FoundationEssentials

/// Reads a ``ClusterStatus`` that a coordinator of another release has written.
///
/// Within a version of the document fields may be added, and none changes its meaning. So a field that this release does
/// not know is skipped, and one that is missing has the value that it has in a status of which nothing is known: zero, empty,
/// or absent. What a document cannot do without is its `version`, the coordinator that speaks, and what names the members of
/// its lists.
public enum StatusReading {
    /// The status in `json`; nil if it is none, or one of another version of the document.
    public static func status(from json: [UInt8]) -> ClusterStatus? {
        guard var document = try? JSONDecoder().decode(JSONTree.self, from: Data(json)),
            document["version"] == .unsigned(UInt64(ClusterStatus.documentVersion))
        else { return nil }
        let nobody = ClusterStatus.Coordinator(name: "", address: "", role: .starting, program: "", upMilliseconds: 0)
        document.fill(from: ClusterStatus(coordinator: nobody), except: ["coordinator"])
        document.each("shards") { $0.fill(from: ShardStatus(), except: ["state"]) }
        document.each("workers") { worker in
            worker.fill(from: WorkerStatus(identity: "", state: .lost), except: ["identity", "state"])
            worker.each("targets") { $0.fill(from: TargetAtWorker(), except: []) }
        }
        document.each("targets") {
            $0.fill(from: TargetStatus(name: "", backend: "", format: ""), except: ["name"])
        }
        return try? JSONDecoder().decode(ClusterStatus.self, from: Data(StatusJSON.encode(document)))
    }
}

/// Any JSON.
private enum JSONTree: Codable, Equatable {
    case null
    case bool(Bool)
    case unsigned(UInt64)
    case signed(Int64)
    case number(Double)
    case text(String)
    case list([JSONTree])
    case object([String: JSONTree])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let found = try? value.decode(Bool.self) {
            self = .bool(found)
        } else if let found = try? value.decode(UInt64.self) {
            self = .unsigned(found)
        } else if let found = try? value.decode(Int64.self) {
            self = .signed(found)
        } else if let found = try? value.decode(Double.self) {
            self = .number(found)
        } else if let found = try? value.decode(String.self) {
            self = .text(found)
        } else if let found = try? value.decode([JSONTree].self) {
            self = .list(found)
        } else {
            self = .object(try value.decode([String: JSONTree].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let content): try value.encode(content)
        case .unsigned(let content): try value.encode(content)
        case .signed(let content): try value.encode(content)
        case .number(let content): try value.encode(content)
        case .text(let content): try value.encode(content)
        case .list(let content): try value.encode(content)
        case .object(let content): try value.encode(content)
        }
    }

    subscript(key: String) -> JSONTree? {
        guard case .object(let content) = self else { return nil }
        return content[key]
    }

    /// Adds what is missing here and there in `defaults`, except these keys of the outermost object.
    mutating func fill(from defaults: some Encodable, except required: Set<String>) {
        let tree = try? JSONDecoder().decode(JSONTree.self, from: Data(StatusJSON.encode(defaults)))
        guard case .object(let known) = tree else { return }
        fill(known.filter { !required.contains($0.key) })
    }

    private mutating func fill(_ defaults: [String: JSONTree]) {
        guard case .object(var content) = self else { return }
        for (key, value) in defaults {
            if case .object(let inner) = value, content[key] != nil {
                content[key]?.fill(inner)
            } else if content[key] == nil {
                content[key] = value
            }
        }
        self = .object(content)
    }

    /// Changes each element of the list at `key`, if there is one.
    mutating func each(_ key: String, _ change: (inout JSONTree) -> Void) {
        guard case .object(var content) = self, case .list(var elements) = content[key] else { return }
        for place in elements.indices { change(&elements[place]) }
        content[key] = .list(elements)
        self = .object(content)
    }
}
