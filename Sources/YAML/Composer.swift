/// Makes a tree of events, without recursion.
struct Composer: ~Copyable {
    /// A sequence or mapping that has not ended.
    private struct Level {
        let isMapping: Bool
        let anchor: String?
        let tag: String?
        let mark: Mark
        /// Of a mapping: keys and values in turn.
        var nodes: [Node] = []
        var size = 1
    }

    private let bounds: Bounds
    private var parser: EventParser
    private var open: [Level] = []
    /// What an alias may name: a later anchor of the same name takes the earlier one's place (YAML 1.2, section 3.2.2.2).
    private var anchors: [String: Node] = [:]
    private var nodes = 0
    private var aliases = 0
    private var root: Node?
    private(set) var repeatedKeys: [Document.RepeatedKey] = []

    init(_ text: CheckedText, _ bounds: Bounds) throws(YAMLError) {
        parser = try EventParser(text)
        self.bounds = bounds
    }

    /// The root of the one document; nil if there is none.
    mutating func compose() throws(YAMLError) -> Node? {
        while true {
            let event = try parser.next()
            switch event.kind {
            case .streamEnd: return root
            case .documentStart: try beginDocument(event)
            case .scalar(let scalar):
                try count(1, event.mark)
                add(Node(content: .scalar(scalar), tag: event.tag, mark: event.mark, size: 1), anchor: event.anchor)
            case .sequenceStart: try begin(event, isMapping: false)
            case .mappingStart: try begin(event, isMapping: true)
            case .end: end()
            case .alias: try follow(event)
            case .other: break
            }
        }
    }

    private func beginDocument(_ event: Event) throws(YAMLError) {
        guard root == nil else {
            let start = YAMLError.Context(
                text: "expected a single document in the stream", mark: Mark(line: 1, column: 1))
            throw YAMLError(.severalDocuments, "but found another document", at: event.mark, context: start)
        }
    }

    private mutating func begin(_ event: Event, isMapping: Bool) throws(YAMLError) {
        try count(1, event.mark)
        guard open.count < bounds.depth else {
            throw YAMLError(.tooDeep, "the values are nested too deeply", at: event.mark)
        }
        open.append(Level(isMapping: isMapping, anchor: event.anchor, tag: event.tag, mark: event.mark))
    }

    private mutating func end() {
        guard let level = open.popLast() else { return }
        let content: Node.Content
        if level.isMapping {
            let entries = stride(from: 0, to: level.nodes.count - 1, by: 2).map {
                Entry(key: level.nodes[$0], value: level.nodes[$0 + 1])
            }
            noteRepeatedKeys(entries)
            content = .mapping(entries)
        } else {
            content = .sequence(level.nodes)
        }
        add(Node(content: content, tag: level.tag, mark: level.mark, size: level.size), anchor: level.anchor)
    }

    private mutating func follow(_ event: Event) throws(YAMLError) {
        aliases += 1
        guard aliases <= bounds.aliases else {
            throw YAMLError(.tooManyAliases, "more than \(bounds.aliases) aliases (`*name`)", at: event.mark)
        }
        guard let node = event.anchor.flatMap({ anchors[$0] }) else {
            throw YAMLError(.syntax, "found undefined alias", at: event.mark)
        }
        try count(node.size, event.mark)
        add(node.standing(at: event.mark), anchor: nil)
    }

    private mutating func count(_ more: Int, _ mark: Mark) throws(YAMLError) {
        // No node is larger than the bound, so that this cannot overflow.
        nodes += more
        guard nodes <= bounds.nodes else {
            throw YAMLError(.tooManyNodes, "more than \(bounds.nodes) values", at: mark)
        }
    }

    private mutating func add(_ node: Node, anchor: String?) {
        if let anchor { anchors[anchor] = node }
        guard !open.isEmpty else {
            root = node
            return
        }
        open[open.count - 1].nodes.append(node)
        open[open.count - 1].size += node.size
    }

    private mutating func noteRepeatedKeys(_ entries: [Entry]) {
        guard entries.count > 1 else { return }
        var known: [String: Mark] = [:]
        for entry in entries {
            guard repeatedKeys.count <= bounds.repeatedKeys else { return }
            guard let text = entry.key.scalar?.text else { continue }
            if let first = known[text] {
                repeatedKeys.append(Document.RepeatedKey(text: text, mark: entry.key.mark, first: first))
            } else {
                known[text] = entry.key.mark
            }
        }
    }
}
