export { answerLine, type ExecError, lineTooLong, MAX_LINE } from "./answer.js";
export { type ExecRequest, type MemoryRange, parseRequest } from "./request.js";
export { type CpuFactory, type ExecAnswer, ExecSession } from "./session.js";
