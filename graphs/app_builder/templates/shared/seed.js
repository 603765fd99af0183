// Rows to begin with. Replace them with your own, or with what a server answers.

export const SEED = «seed»;
