//! The texts of `languages`: every sentence and every word in English, Hebrew and Chinese.
//!
//! The Hebrew avoids agreement in gender and number by its choice of words: verbs in the past plural (`היו`,
//! `הגיעו`, `נשלחו`), the impersonal plural (`מכרו`, `חילקו`), `יש`, and numbers in digits, always of 3 and more,
//! before a plural. Things are single words, so that the definite article goes in front. The Chinese gives every
//! thing its measure word.

/// A language that items are asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Hebrew,
    Chinese,
}

impl Language {
    /// All languages, in the order in which an item is asked in them.
    pub(super) const ALL: [Self; 3] = [Self::English, Self::Hebrew, Self::Chinese];

    /// Its tag (BCP 47).
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Hebrew => "he",
            Self::Chinese => "zh",
        }
    }

    /// The word in this language.
    pub(super) fn word(self, word: &Word) -> &'static str {
        match self {
            Self::English => word.0,
            Self::Hebrew => word.1,
            Self::Chinese => word.2,
        }
    }

    /// The sentences of this language.
    pub(super) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Hebrew => &HEBREW,
            Self::Chinese => &CHINESE,
        }
    }
}

/// The same word in English, Hebrew and Chinese.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub &'static str, pub &'static str, pub &'static str);

/// The sentences of one language. Places as in `word-problems`; `mw` is a Chinese thing's measure word, and `mw2`
/// that of `second`, the thing that nobody asks about.
pub(super) struct Texts {
    pub opening: &'static str,
    pub opening_uncounted: &'static str,
    /// Says something without a number, for levels whose small numbers alone would not make items enough.
    pub aside: &'static str,
    pub add: &'static str,
    pub sub: &'static str,
    pub add_groups: &'static str,
    pub sub_groups: &'static str,
    pub half: &'static str,
    pub unneeded: &'static str,
    /// Asks how many there are now.
    pub now: &'static str,
    /// Divides everything into `d` equal groups and asks for the size of one.
    pub share: &'static str,
    /// Says how many there are in the end, and asks how many there were at the start.
    pub start: &'static str,
    /// Between sentences.
    pub gap: &'static str,
    /// What the generate form says about the answer.
    pub ask: &'static str,
    /// What stands before the question in the choice form.
    pub question: &'static str,
    /// What stands before the answer in the choice form.
    pub answer: &'static str,
}

const ENGLISH: Texts = Texts {
    opening: "On {day} morning there were {a} {thing} in the {place} in {city}.",
    opening_uncounted: "Nobody counted how many {thing} there were on {day} morning in the {place} in {city}.",
    aside: "Visitors from {city2} and {city3} came to see the {second} there.",
    add: "Then {k} more {thing} were brought there.",
    sub: "Then {k} {thing} were taken away from there.",
    add_groups: "Then {k} boxes arrived there, and in each box there were {m} {thing}.",
    sub_groups: "Then {m} {thing} were sent from there to each of {k} schools.",
    half: "Then half of all the {thing} that were there were sold.",
    unneeded: "There were also {n} {second} there.",
    now: "How many {thing} are there now?",
    share: "Finally all the {thing} that were there were divided equally into {d} groups. How many {thing} are in \
            each group?",
    start: "In the end there were {v} {thing} there. How many {thing} were there on {day} morning?",
    gap: " ",
    ask: "Answer with a number. Think step by step. Then end with one line of the form \"Answer: N\", where \
          N is the number in digits.",
    question: "Question:",
    answer: "Answer:",
};

const HEBREW: Texts = Texts {
    opening: "ביום {day} בבוקר היו {place} שב{city} {a} {thing}.",
    opening_uncounted: "איש לא ספר כמה {thing} היו ביום {day} בבוקר {place} שב{city}.",
    aside: "מבקרים מ{city2} ומ{city3} באו לראות שם את ה{second}.",
    add: "אחר כך הגיעו לשם עוד {k} {thing}.",
    sub: "אחר כך נלקחו משם {k} {thing}.",
    add_groups: "אחר כך הגיעו לשם {k} ארגזים, ובכל ארגז היו {m} {thing}.",
    sub_groups: "אחר כך נשלחו משם {m} {thing} לכל אחד מתוך {k} בתי ספר.",
    half: "אחר כך מכרו מחצית מכל ה{thing} שהיו שם.",
    unneeded: "היו שם גם {n} {second}.",
    now: "כמה {thing} יש שם עכשיו?",
    share: "לבסוף חילקו את כל ה{thing} שהיו שם שווה בשווה ל-{d} קבוצות. כמה {thing} יש בכל קבוצה?",
    start: "בסוף היו שם {v} {thing}. כמה {thing} היו שם ביום {day} בבוקר?",
    gap: " ",
    ask: "יש לענות במספר. יש לחשוב צעד אחר צעד. לאחר מכן יש לכתוב בסוף שורה אחת בצורה \"תשובה: N\", כאשר N הוא המספר \
          בספרות.",
    question: "שאלה:",
    answer: "תשובה:",
};

const CHINESE: Texts = Texts {
    opening: "{day}早上，{city}的{place}里有{a}{mw}{thing}。",
    opening_uncounted: "没有人数过{day}早上{city}的{place}里有多少{mw}{thing}。",
    aside: "来自{city2}和{city3}的游客到那里看{second}。",
    add: "后来又运来了{k}{mw}{thing}。",
    sub: "后来从那里运走了{k}{mw}{thing}。",
    add_groups: "后来运来了{k}个箱子，每个箱子里有{m}{mw}{thing}。",
    sub_groups: "后来从那里给{k}所学校各送去了{m}{mw}{thing}。",
    half: "后来把那里所有的{thing}卖掉了一半。",
    unneeded: "那里还有{n}{mw2}{second}。",
    now: "现在那里有多少{mw}{thing}？",
    share: "最后把那里所有的{thing}平均分成{d}组。每组有多少{mw}{thing}？",
    start: "最后那里有{v}{mw}{thing}。{day}早上那里有多少{mw}{thing}？",
    gap: "",
    ask: "请用数字作答。请一步一步地思考。然后在最后单独写一行，格式为“答案：N”，其中N是用阿拉伯数字写的结果。",
    question: "问题:",
    answer: "答案:",
};

/// Things, with the Chinese measure word.
pub(super) const THINGS: [(Word, &str); 40] = [
    (Word("books", "ספרים", "书"), "本"),
    (Word("pencils", "עפרונות", "铅笔"), "支"),
    (Word("notebooks", "מחברות", "笔记本"), "本"),
    (Word("chairs", "כיסאות", "椅子"), "把"),
    (Word("tables", "שולחנות", "桌子"), "张"),
    (Word("lamps", "מנורות", "台灯"), "盏"),
    (Word("bottles", "בקבוקים", "瓶子"), "个"),
    (Word("balls", "כדורים", "球"), "个"),
    (Word("keys", "מפתחות", "钥匙"), "把"),
    (Word("clocks", "שעונים", "钟"), "个"),
    (Word("pictures", "תמונות", "画"), "幅"),
    (Word("dolls", "בובות", "娃娃"), "个"),
    (Word("hats", "כובעים", "帽子"), "顶"),
    (Word("umbrellas", "מטריות", "雨伞"), "把"),
    (Word("plates", "צלחות", "盘子"), "个"),
    (Word("cups", "כוסות", "杯子"), "个"),
    (Word("baskets", "סלים", "篮子"), "个"),
    (Word("forks", "מזלגות", "叉子"), "把"),
    (Word("knives", "סכינים", "刀"), "把"),
    (Word("spoons", "כפות", "勺子"), "把"),
    (Word("blankets", "שמיכות", "毯子"), "条"),
    (Word("pillows", "כריות", "枕头"), "个"),
    (Word("curtains", "וילונות", "窗帘"), "块"),
    (Word("carpets", "שטיחים", "地毯"), "块"),
    (Word("bells", "פעמונים", "铃铛"), "个"),
    (Word("guitars", "גיטרות", "吉他"), "把"),
    (Word("violins", "כינורות", "小提琴"), "把"),
    (Word("drums", "תופים", "鼓"), "面"),
    (Word("flutes", "חלילים", "笛子"), "支"),
    (Word("maps", "מפות", "地图"), "张"),
    (Word("envelopes", "מעטפות", "信封"), "个"),
    (Word("stamps", "בולים", "邮票"), "张"),
    (Word("coins", "מטבעות", "硬币"), "枚"),
    (Word("shirts", "חולצות", "衬衫"), "件"),
    (Word("scarves", "צעיפים", "围巾"), "条"),
    (Word("suitcases", "מזוודות", "手提箱"), "个"),
    (Word("candles", "נרות", "蜡烛"), "支"),
    (Word("ladders", "סולמות", "梯子"), "架"),
    (Word("hammers", "פטישים", "锤子"), "把"),
    (Word("buckets", "דליים", "水桶"), "个"),
];

/// Where the things are. The Hebrew has the preposition and the article in it, the Chinese goes before `里`.
pub(super) const PLACES: [Word; 24] = [
    Word("warehouse", "במחסן", "仓库"),
    Word("museum", "במוזיאון", "博物馆"),
    Word("shop", "בחנות", "商店"),
    Word("factory", "במפעל", "工厂"),
    Word("library", "בספרייה", "图书馆"),
    Word("archive", "בארכיון", "档案馆"),
    Word("hotel", "במלון", "酒店"),
    Word("hospital", "בבית החולים", "医院"),
    Word("hall", "באולם", "大厅"),
    Word("cellar", "במרתף", "地下室"),
    Word("workshop", "בסדנה", "作坊"),
    Word("office", "במשרד", "办公室"),
    Word("theatre", "בתיאטרון", "剧院"),
    Word("castle", "בטירה", "城堡"),
    Word("tower", "במגדל", "塔楼"),
    Word("club", "במועדון", "俱乐部"),
    Word("laboratory", "במעבדה", "实验室"),
    Word("restaurant", "במסעדה", "餐厅"),
    Word("palace", "בארמון", "宫殿"),
    Word("kindergarten", "בגן הילדים", "幼儿园"),
    Word("monastery", "במנזר", "修道院"),
    Word("bank", "בבנק", "银行"),
    Word("pharmacy", "בבית המרקחת", "药店"),
    Word("kitchen", "במטבח", "厨房"),
];

/// Cities.
pub(super) const CITIES: [Word; 40] = [
    Word("Paris", "פריז", "巴黎"),
    Word("London", "לונדון", "伦敦"),
    Word("Rome", "רומא", "罗马"),
    Word("Madrid", "מדריד", "马德里"),
    Word("Berlin", "ברלין", "柏林"),
    Word("Munich", "מינכן", "慕尼黑"),
    Word("Prague", "פראג", "布拉格"),
    Word("Krakow", "קרקוב", "克拉科夫"),
    Word("Athens", "אתונה", "雅典"),
    Word("Lisbon", "ליסבון", "里斯本"),
    Word("Dublin", "דבלין", "都柏林"),
    Word("Oslo", "אוסלו", "奥斯陆"),
    Word("Stockholm", "שטוקהולם", "斯德哥尔摩"),
    Word("Helsinki", "הלסינקי", "赫尔辛基"),
    Word("Copenhagen", "קופנהגן", "哥本哈根"),
    Word("Budapest", "בודפשט", "布达佩斯"),
    Word("Bucharest", "בוקרשט", "布加勒斯特"),
    Word("Sofia", "סופיה", "索非亚"),
    Word("Belgrade", "בלגרד", "贝尔格莱德"),
    Word("Zurich", "ציריך", "苏黎世"),
    Word("Brussels", "בריסל", "布鲁塞尔"),
    Word("Milan", "מילנו", "米兰"),
    Word("Barcelona", "ברצלונה", "巴塞罗那"),
    Word("Haifa", "חיפה", "海法"),
    Word("Jerusalem", "ירושלים", "耶路撒冷"),
    Word("Tel Aviv", "תל אביב", "特拉维夫"),
    Word("Cairo", "קהיר", "开罗"),
    Word("Nairobi", "ניירובי", "内罗毕"),
    Word("Tokyo", "טוקיו", "东京"),
    Word("Beijing", "בייג'ינג", "北京"),
    Word("Shanghai", "שנחאי", "上海"),
    Word("Seoul", "סיאול", "首尔"),
    Word("Bangkok", "בנגקוק", "曼谷"),
    Word("Mumbai", "מומבאי", "孟买"),
    Word("Sydney", "סידני", "悉尼"),
    Word("Toronto", "טורונטו", "多伦多"),
    Word("Chicago", "שיקגו", "芝加哥"),
    Word("Boston", "בוסטון", "波士顿"),
    Word("Lyon", "ליון", "里昂"),
    Word("Naples", "נאפולי", "那不勒斯"),
];

/// Days of the week.
pub(super) const DAYS: [Word; 7] = [
    Word("Sunday", "ראשון", "星期日"),
    Word("Monday", "שני", "星期一"),
    Word("Tuesday", "שלישי", "星期二"),
    Word("Wednesday", "רביעי", "星期三"),
    Word("Thursday", "חמישי", "星期四"),
    Word("Friday", "שישי", "星期五"),
    Word("Saturday", "שבת", "星期六"),
];
