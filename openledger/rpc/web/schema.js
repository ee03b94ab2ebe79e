export const ACTIONS = {};
export const STRUCTS = {};
export const EVENTS = {};
