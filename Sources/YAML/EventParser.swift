internal import CYAML

/// What libyaml makes of a text, one after another.
struct Event {
    enum Kind {
        case documentStart
        case scalar(Scalar)
        case sequenceStart
        case mappingStart
        /// Of a sequence or of a mapping.
        case end
        case alias
        case streamEnd
        /// What has no meaning here.
        case other
    }

    let kind: Kind
    /// Of a node, or the one that an alias names.
    let anchor: String?
    let tag: String?
    let mark: Mark
}

/// Owner of a parser of libyaml and of the text that it reads.
@safe struct EventParser: ~Copyable {
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: UnsafeMutableBufferPointer<UInt8>

    init(_ checked: CheckedText) throws(YAMLError) {
        unsafe text = .allocate(capacity: checked.text.utf8.count)
        unsafe parser = .allocate(capacity: 1)
        unsafe _ = text.initialize(from: checked.text.utf8)
        unsafe parser.initialize(to: yaml_parser_t())
        guard unsafe yaml_parser_initialize(parser) == 1 else { throw Self.outOfMemory }
        // Else it would look for byte order marks of its own.
        unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        unsafe yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    }

    deinit {
        // Also for one that could not be initialized: then it is empty.
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
        unsafe text.deallocate()
    }

    private static let outOfMemory = YAMLError(.outOfMemory, "the parser ran out of memory")

    mutating func next() throws(YAMLError) -> Event {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw failure() }
        defer { unsafe yaml_event_delete(&event) }
        return unsafe Event(
            kind: Self.kind(of: &event), anchor: Self.string(sidereal_yaml_anchor(&event)),
            tag: Self.string(sidereal_yaml_tag(&event)), mark: Mark(event.start_mark))
    }

    private static func kind(of event: inout yaml_event_t) -> Event.Kind {
        switch unsafe event.type {
        case YAML_DOCUMENT_START_EVENT: .documentStart
        case YAML_SCALAR_EVENT: unsafe .scalar(scalar(&event))
        case YAML_SEQUENCE_START_EVENT: .sequenceStart
        case YAML_MAPPING_START_EVENT: .mappingStart
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: .end
        case YAML_ALIAS_EVENT: .alias
        case YAML_STREAM_END_EVENT: .streamEnd
        default: .other
        }
    }

    private static func scalar(_ event: inout yaml_event_t) -> Scalar {
        var count = 0
        let start = unsafe sidereal_yaml_text(&event, &count)
        let text = unsafe String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
        return unsafe Scalar(text: text, isPlain: sidereal_yaml_is_plain(&event) != 0)
    }

    private static func string(_ text: UnsafePointer<UInt8>?) -> String? {
        guard let text = unsafe text else { return nil }
        return unsafe String(cString: text)
    }

    private func failure() -> YAMLError {
        let state = unsafe parser.pointee
        guard unsafe state.error != YAML_MEMORY_ERROR, let problem = unsafe state.problem else {
            return Self.outOfMemory
        }
        var context: YAMLError.Context?
        if let text = unsafe state.context {
            context = unsafe YAMLError.Context(text: String(cString: text), mark: Mark(state.context_mark))
        }
        // Whoever reads bytes that are no characters says no place; such bytes do not come this far.
        let mark = unsafe state.error == YAML_READER_ERROR ? nil : Mark(state.problem_mark)
        return unsafe YAMLError(.syntax, String(cString: problem), at: mark, context: context)
    }
}

extension Mark {
    fileprivate init(_ mark: yaml_mark_t) {
        self.init(line: mark.line + 1, column: mark.column + 1)
    }
}
